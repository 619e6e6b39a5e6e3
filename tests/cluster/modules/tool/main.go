// Command cluster-tool does for the tests on a real control plane what needs Go: images without a container engine,
// keys in etcd, load on it, the comparison of two of them, and proxies in front of the API server.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const usage = `cluster-tool image OUT.tar NAME:TAG [SRC=/DST | =/DIR | TARGET@/LINK | !/ENTRYPOINT | --]…   '--' begins another layer
cluster-tool fill ETCD KEYS BYTES     puts KEYS random values of BYTES bytes below /registry/fill/
cluster-tool churn ETCD               creates, changes and deletes; each line on stdin asks for the figures so far
cluster-tool compare ETCD RESTORED    every key of RESTORED against ETCD at RESTORED's revision
cluster-tool compare FILE.json RESTORED    the same against what 'etcdctl get "" --prefix -w json --rev R' wrote
cluster-tool revision ETCD            the revision it is at
cluster-tool proxy LISTEN SERVER CA CERT KEY FAULT…   faults: no-range, gzip, base=/PATH
cluster-tool certificate DIR NAME server|both ADDRESS…    signed by DIR/ca.crt
cluster-tool metrics URL              what it serves
ETCD is URL, or URL,CA,CERT,KEY
`

var commands = map[string]func([]string) error{
	"image": image, "fill": fill, "churn": churn, "compare": compare, "revision": revision, "proxy": proxy,
	"certificate": certificate, "metrics": metrics,
}

func main() {
	if len(os.Args) < 3 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster-tool %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// connect opens a client for URL or URL,CA,CERT,KEY.
func connect(where string) (*clientv3.Client, error) {
	parts := split(where)
	config := clientv3.Config{Endpoints: parts[:1], DialTimeout: 20 * time.Second, MaxCallRecvMsgSize: 1 << 30}
	if len(parts) == 4 {
		info := transport.TLSInfo{TrustedCAFile: parts[1], CertFile: parts[2], KeyFile: parts[3]}
		tls, err := info.ClientConfig()
		if err != nil {
			return nil, err
		}
		config.TLS = tls
	}
	return clientv3.New(config)
}

func metrics(args []string) error {
	client := http.Client{Timeout: 30 * time.Second}
	reply, err := client.Get(args[0])
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	_, err = io.Copy(os.Stdout, reply.Body)
	return err
}

func revision(args []string) error {
	client, err := connect(args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := client.Get(ctx, "\x00", clientv3.WithSerializable())
	if err != nil {
		return err
	}
	fmt.Println(reply.Header.Revision)
	return nil
}
