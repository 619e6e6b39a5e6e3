package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const page = 2000

// keys hands out the key-values of an etcd at a revision, in the order of the keys; nil after the last one.
type keys interface {
	next() (*mvccpb.KeyValue, error)
}

type pages struct {
	client   *clientv3.Client
	revision int64
	rest     []*mvccpb.KeyValue
	from     string
	last     bool
}

func (p *pages) next() (*mvccpb.KeyValue, error) {
	if len(p.rest) == 0 && !p.last {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		reply, err := p.client.Get(ctx, p.from, clientv3.WithFromKey(), clientv3.WithLimit(page), clientv3.WithRev(p.revision),
			// A member that has lost its quorum still tells what it has.
			clientv3.WithSerializable())
		if err != nil {
			return nil, err
		}
		p.rest, p.last = reply.Kvs, !reply.More
		if len(reply.Kvs) > 0 {
			p.from = string(reply.Kvs[len(reply.Kvs)-1].Key) + "\x00"
		}
	}
	if len(p.rest) == 0 {
		return nil, nil
	}
	first := p.rest[0]
	p.rest = p.rest[1:]
	return first, nil
}

// written reads what 'etcdctl get -w json' wrote, key by key.
type written struct {
	decoder *json.Decoder
	begun   bool
}

func (w *written) next() (*mvccpb.KeyValue, error) {
	for !w.begun {
		token, err := w.decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("no kvs in the file: %w", err)
		}
		if token == "kvs" {
			if _, err := w.decoder.Token(); err != nil {
				return nil, err
			}
			w.begun = true
		}
	}
	if !w.decoder.More() {
		return nil, nil
	}
	kv := &mvccpb.KeyValue{}
	return kv, w.decoder.Decode(kv)
}

func compare(args []string) error {
	if len(args) != 2 {
		return errors.New("two are compared")
	}
	restored, err := connect(args[1])
	if err != nil {
		return err
	}
	defer restored.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	now, err := restored.Get(ctx, "\x00", clientv3.WithSerializable())
	if err != nil {
		return err
	}
	at := now.Header.Revision

	var want keys
	if strings.HasSuffix(args[0], ".json") {
		file, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		want = &written{decoder: json.NewDecoder(file)}
	} else {
		cluster, err := connect(args[0])
		if err != nil {
			return err
		}
		defer cluster.Close()
		want = &pages{client: cluster, revision: at, from: "\x00"}
	}
	got := &pages{client: restored, revision: at, from: "\x00"}

	compared, size := 0, 0
	for {
		a, err := want.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("the cluster's etcd at revision %d: %w", at, err)
		}
		b, err := got.next()
		if err != nil {
			return fmt.Errorf("the restored etcd at revision %d: %w", at, err)
		}
		if a == nil && b == nil {
			break
		}
		if difference := differ(a, b); difference != "" {
			return fmt.Errorf("at revision %d, after %d equal keys: %s", at, compared, difference)
		}
		compared++
		size += len(a.Key) + len(a.Value)
	}
	if compared == 0 {
		return errors.New("both hold nothing: nothing was compared")
	}
	fmt.Printf("{\"revision\":%d,\"keys\":%d,\"bytes\":%d}\n", at, compared, size)
	return nil
}

func differ(cluster, restored *mvccpb.KeyValue) string {
	switch {
	case restored == nil:
		return fmt.Sprintf("%q is missing in the restored etcd", cluster.Key)
	case cluster == nil:
		return fmt.Sprintf("%q is in the restored etcd only", restored.Key)
	case !bytes.Equal(cluster.Key, restored.Key):
		return fmt.Sprintf("the cluster has %q where the restored etcd has %q", cluster.Key, restored.Key)
	case !bytes.Equal(cluster.Value, restored.Value):
		return fmt.Sprintf("the values of %q differ (%d and %d bytes)", cluster.Key, len(cluster.Value), len(restored.Value))
	case cluster.ModRevision != restored.ModRevision, cluster.CreateRevision != restored.CreateRevision,
		cluster.Version != restored.Version, cluster.Lease != restored.Lease:
		return fmt.Sprintf("%q has mod revision %d, create revision %d, version %d, lease %x in the cluster, and %d, %d, %d, %x restored",
			cluster.Key, cluster.ModRevision, cluster.CreateRevision, cluster.Version, cluster.Lease,
			restored.ModRevision, restored.CreateRevision, restored.Version, restored.Lease)
	}
	return ""
}
