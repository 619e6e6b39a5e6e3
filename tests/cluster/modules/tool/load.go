package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const batch = 100

func fill(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("ETCD, KEYS and BYTES are needed")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	client, err := connect(args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	var group sync.WaitGroup
	var failure atomic.Pointer[error]
	var next atomic.Int64
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for failure.Load() == nil {
				start := int(next.Add(batch)) - batch
				if start >= count {
					return
				}
				var puts []clientv3.Op
				for i := start; i < min(start+batch, count); i++ {
					value := make([]byte, size)
					rand.Read(value)
					puts = append(puts, clientv3.OpPut(fmt.Sprintf("/registry/fill/%09d", i), string(value)))
				}
				if _, err := client.Txn(context.Background()).Then(puts...).Commit(); err != nil {
					failure.Store(&err)
				}
			}
		}()
	}
	group.Wait()
	if failed := failure.Load(); failed != nil {
		return *failed
	}
	return nil
}

// churn keeps etcd busy until its standard input ends. It reports how long each put took since the line before.
func churn(args []string) error {
	client, err := connect(args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithCancel(context.Background())
	var lock sync.Mutex
	var took []time.Duration
	failed := 0
	var group sync.WaitGroup
	for worker := range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			value := make([]byte, 2000)
			for round := 0; ctx.Err() == nil; round++ {
				key := fmt.Sprintf("/registry/churn/%02d-%04d", worker, round%500)
				rand.Read(value)
				begun := time.Now()
				var err error
				if round%5 == 4 {
					_, err = client.Delete(ctx, key)
				} else {
					_, err = client.Put(ctx, key, string(value))
				}
				lock.Lock()
				if err == nil {
					took = append(took, time.Since(begun))
				} else if ctx.Err() == nil {
					failed++
				}
				lock.Unlock()
			}
		}()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		lock.Lock()
		sorted, errors := took, failed
		took, failed = nil, 0
		lock.Unlock()
		slices.Sort(sorted)
		at := func(share float64) float64 {
			if len(sorted) == 0 {
				return 0
			}
			return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1000
		}
		fmt.Printf("{\"writes\":%d,\"failed\":%d,\"p50Ms\":%.1f,\"p99Ms\":%.1f,\"maxMs\":%.1f}\n", len(sorted), errors, at(0.5), at(0.99), at(1))
	}
	stop()
	group.Wait()
	return lines.Err()
}
