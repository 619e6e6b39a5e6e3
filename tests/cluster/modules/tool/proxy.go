package main

import (
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

// proxy stands in front of the API server, as a gateway would, and is the user whose certificate it was given. Its
// faults touch what the kubelet's file server answers.
func proxy(args []string) error {
	if len(args) < 5 {
		return fmt.Errorf("LISTEN, SERVER, CA, CERT and KEY are needed")
	}
	target, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(args[3], args[4])
	if err != nil {
		return err
	}
	base, noRange, zip := "", false, false
	for _, fault := range args[5:] {
		name, value, _ := strings.Cut(fault, "=")
		switch name {
		case "no-range":
			noRange = true
		case "gzip":
			zip = true
		case "base":
			base = value
		default:
			return fmt.Errorf("no such fault: %s", fault)
		}
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if noRange && isLog(r.In) {
				r.Out.Header.Del("Range")
			}
		},
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
			DisableCompression: true,
		},
		FlushInterval: -1,
		ModifyResponse: func(reply *http.Response) error {
			if isLog(reply.Request) && zip && reply.StatusCode < 300 {
				reply.Body = zipped(reply.Body)
				reply.Header.Set("Content-Encoding", "gzip")
				reply.Header.Del("Content-Length")
				reply.ContentLength = -1
			}
			return nil
		},
	}
	return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, base+"/") {
			http.Error(w, "nothing is served outside of "+base, http.StatusNotFound)
			return
		}
		http.StripPrefix(base, forward).ServeHTTP(w, r)
	}))
}

func isLog(request *http.Request) bool { return strings.Contains(request.URL.Path, "/proxy/logs/") }

func zipped(plain io.ReadCloser) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		defer plain.Close()
		zip := gzip.NewWriter(writer)
		_, err := io.Copy(zip, plain)
		if err == nil {
			err = zip.Close()
		}
		writer.CloseWithError(err)
	}()
	return reader
}
