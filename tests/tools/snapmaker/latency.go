package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A phase is one line of output: the puts of some seconds, and what ran beside them.
type phase struct {
	Beside string `json:"beside"`
	// How long HashKV took.
	Seconds float64 `json:"seconds,omitempty"`
	Puts    int     `json:"puts"`
	// How long the puts took, in milliseconds.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// latency puts one key after the other: for three seconds alone, then while the member computes its HashKV, three times.
func latency(endpoint string) error {
	config := clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()}
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	// A connection of its own: the two must not wait for each other here.
	asking, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer asking.Close()
	ctx := context.Background()
	measured, err := putUntil(ctx, client, time.After(3*time.Second))
	if err != nil {
		return err
	}
	if err := say(summary("nothing", 0, measured)); err != nil {
		return err
	}
	for range 3 {
		done := make(chan time.Time, 1)
		var took time.Duration
		var failure error
		go func() {
			start := time.Now()
			_, failure = asking.HashKV(ctx, endpoint, 0)
			took = time.Since(start)
			done <- time.Now()
		}()
		measured, err := putUntil(ctx, client, done)
		if err != nil {
			return err
		}
		if failure != nil {
			return failure
		}
		if err := say(summary("HashKV", took, measured)); err != nil {
			return err
		}
	}
	return nil
}

// putUntil puts until somebody ends it, and once at least.
func putUntil(ctx context.Context, client *clientv3.Client, done <-chan time.Time) ([]time.Duration, error) {
	took := []time.Duration{}
	for n := 0; ; n++ {
		start := time.Now()
		if _, err := client.Put(ctx, fmt.Sprintf("/latency/%d", n%1000), "some hundred bytes would change nothing"); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		select {
		case <-done:
			return took, nil
		default:
		}
	}
}

func summary(beside string, hash time.Duration, took []time.Duration) phase {
	slices.Sort(took)
	at := func(share float64) float64 {
		return took[int(share*float64(len(took)-1))].Seconds() * 1000
	}
	return phase{Beside: beside, Seconds: hash.Seconds(), Puts: len(took), P50: at(0.5), P99: at(0.99), Max: at(1)}
}
