package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// A round is one line of output: a snapshot with what etcdutl says of it, and HashKV answers that were given while
// nothing but this program wrote.
type round struct {
	File   string          `json:"file"`
	Status snapshot.Status `json:"status"`
	HashKV []hashKV        `json:"hashkv"`
}

type hashKV struct {
	Revision        int64  `json:"revision"`
	CompactRevision int64  `json:"compactRevision"`
	Hash            uint32 `json:"hash"`
}

type world struct {
	client    *clientv3.Client
	endpoint  string
	random    *rand.Rand
	revision  int64
	compacted int64
	leases    []clientv3.LeaseID
	names     int
	// No compaction is waited for.
	hasty bool
}

func live(endpoint, dir string, count int, seed int64, hasty bool) error {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
		MaxCallSendMsgSize: 16 << 20,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	w := &world{client: client, endpoint: endpoint, random: rand.New(rand.NewSource(seed)), hasty: hasty}
	ctx := context.Background()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return err
	}
	w.revision = status.Header.Revision
	for i := range count {
		// The first snapshot is of an etcd as it was found.
		if i > 0 {
			if err := w.change(ctx); err != nil {
				return fmt.Errorf("seed %d, round %d: %w", seed, i, err)
			}
		}
		r := round{File: filepath.Join(dir, fmt.Sprintf("%d-%d.db", seed, i))}
		if err := w.save(ctx, r.File); err != nil {
			return err
		}
		if r.Status, err = snapshot.NewV3(zap.NewNop()).Status(r.File); err != nil {
			return err
		}
		if r.HashKV, err = w.ask(ctx); err != nil {
			return err
		}
		if err := say(r); err != nil {
			return err
		}
	}
	return nil
}

func fill(endpoint string, keys, size int) error {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	random := rand.New(rand.NewSource(1))
	const batch = 100
	for _, step := range []int{1, 3} {
		var revision int64
		for start := 0; start < keys; start += batch * step {
			operations := []clientv3.Op{}
			for n := start; n < min(start+batch*step, keys); n += step {
				value := make([]byte, size/2+random.Intn(size))
				random.Read(value)
				key := fmt.Sprintf("/registry/fill/ns%d/obj-%08d", n%97, n)
				operations = append(operations, clientv3.OpPut(key, string(value)))
			}
			response, err := client.Txn(ctx).Then(operations...).Commit()
			if err != nil {
				return err
			}
			revision = response.Header.Revision
		}
		if _, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) key() string {
	return fmt.Sprintf("/registry/%c/%02d", 'a'+w.random.Intn(4), w.random.Intn(15))
}

func (w *world) value() string {
	size := w.random.Intn(300)
	switch w.random.Intn(60) {
	case 0:
		size = w.random.Intn(60_000)
	case 1:
		size = 0
	}
	bytes := make([]byte, size)
	w.random.Read(bytes)
	return string(bytes)
}

// change does some writes of every kind.
func (w *world) change(ctx context.Context) error {
	for range 1 + w.random.Intn(12) {
		if err := w.write(ctx); err != nil {
			return err
		}
	}
	if w.random.Intn(3) == 0 && w.revision > w.compacted+1 {
		revision := w.compacted + 1 + w.random.Int63n(w.revision-w.compacted)
		if w.random.Intn(3) == 0 {
			revision = w.revision
		}
		options := []clientv3.CompactOption{}
		if w.random.Intn(2) == 0 && !w.hasty {
			options = append(options, clientv3.WithCompactPhysical())
		}
		if _, err := w.client.Compact(ctx, revision, options...); err != nil {
			return fmt.Errorf("compact %d: %w", revision, err)
		}
		w.compacted = revision
	}
	if w.random.Intn(25) == 0 {
		if _, err := w.client.Defragment(ctx, w.endpoint); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) write(ctx context.Context) error {
	switch w.random.Intn(24) {
	case 0, 1, 2:
		response, err := w.client.Delete(ctx, w.key())
		if err != nil {
			return err
		}
		w.revision = response.Header.Revision
	case 3:
		// Sometimes nothing is left.
		prefix := []string{"/registry/a/", "/registry/b/", "/registry/"}[w.random.Intn(3)]
		response, err := w.client.Delete(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		w.revision = response.Header.Revision
	case 4:
		return w.lease(ctx)
	case 5:
		w.names++
		if _, err := w.client.RoleAdd(ctx, fmt.Sprintf("role%d-%d", w.revision, w.names)); err != nil {
			return err
		}
		options := &clientv3.UserAddOptions{NoPassword: true}
		_, err := w.client.UserAddWithOptions(ctx, fmt.Sprintf("user%d-%d", w.revision, w.names), "", options)
		return err
	case 6, 7, 8, 9, 10:
		return w.transaction(ctx)
	default:
		response, err := w.client.Put(ctx, w.key(), w.value())
		if err != nil {
			return err
		}
		w.revision = response.Header.Revision
	}
	return nil
}

func (w *world) lease(ctx context.Context) error {
	if len(w.leases) > 2 {
		lease := w.leases[0]
		w.leases = w.leases[1:]
		response, err := w.client.Revoke(ctx, lease)
		if err != nil {
			return err
		}
		w.revision = response.Header.Revision
		return nil
	}
	granted, err := w.client.Grant(ctx, 86400)
	if err != nil {
		return err
	}
	w.leases = append(w.leases, granted.ID)
	response, err := w.client.Put(ctx, w.key(), w.value(), clientv3.WithLease(granted.ID))
	if err != nil {
		return err
	}
	w.revision = response.Header.Revision
	return nil
}

func (w *world) transaction(ctx context.Context) error {
	seen := map[string]bool{}
	operations := []clientv3.Op{}
	for range 1 + w.random.Intn(6) {
		key := w.key()
		if seen[key] {
			continue
		}
		seen[key] = true
		if w.random.Intn(4) == 0 {
			operations = append(operations, clientv3.OpDelete(key))
		} else {
			operations = append(operations, clientv3.OpPut(key, w.value()))
		}
	}
	response, err := w.client.Txn(ctx).Then(operations...).Commit()
	if err != nil {
		return err
	}
	w.revision = response.Header.Revision
	return nil
}

func (w *world) save(ctx context.Context, path string) error {
	response, err := w.client.SnapshotWithVersion(ctx)
	if err != nil {
		return err
	}
	defer response.Snapshot.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, response.Snapshot); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// ask asks for HashKV at the newest revision, at that of the compaction, and at some in between.
func (w *world) ask(ctx context.Context) ([]hashKV, error) {
	least := max(w.compacted, 1)
	revisions := []int64{0, least}
	for range 3 {
		revisions = append(revisions, least+w.random.Int63n(w.revision-least+1))
	}
	answers := []hashKV{}
	for _, revision := range revisions {
		response, err := w.client.HashKV(ctx, w.endpoint, revision)
		if errors.Is(err, rpctypes.ErrCompacted) && revision == least {
			// etcd 3.4 does not answer at the compaction itself.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("HashKV at %d (compacted %d, now %d): %w", revision, w.compacted, w.revision, err)
		}
		// Before 3.6 the answer does not say at which revision it was computed.
		if revision == 0 || response.HashRevision != 0 {
			revision = response.HashRevision
		}
		if revision == 0 {
			revision = response.Header.Revision
		}
		answers = append(answers, hashKV{revision, response.CompactRevision, response.Hash})
	}
	return answers, nil
}
