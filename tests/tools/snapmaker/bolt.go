package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
)

// The buckets of an etcd.
var buckets = []string{
	"alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta",
}

func bolt(dir string) error {
	for _, size := range []int{4096, 8192, 16384, 32768, 65536} {
		name := filepath.Join(dir, fmt.Sprintf("pages-%d.db", size))
		options := &bbolt.Options{PageSize: size}
		if err := database(name, options, 600, 700); err != nil {
			return err
		}
	}
	// So many pages become free that their number does not fit into the page's header.
	name := filepath.Join(dir, "free-many.db")
	if err := database(name, &bbolt.Options{PageSize: 1024}, 100, 700, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("cluster")).Put([]byte("large"), make([]byte, 70_000*1024))
	}, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("cluster")).Delete([]byte("large"))
	}); err != nil {
		return err
	}
	index := []byte("consistent_index")
	for file, change := range map[string]func(*bbolt.Bucket) error{
		"index-none.db": func(meta *bbolt.Bucket) error { return meta.Delete(index) },
		"index-zero.db": func(meta *bbolt.Bucket) error { return meta.Put(index, make([]byte, 8)) },
	} {
		if err := database(filepath.Join(dir, file), nil, 10, 10, func(tx *bbolt.Tx) error {
			return change(tx.Bucket([]byte("meta")))
		}); err != nil {
			return err
		}
	}
	// Entries of the history that are missing or do not belong there, as 'bbolt surgery' and lost writes leave them.
	for file, change := range map[string]func(*bbolt.Bucket) error{
		"hole.db": func(keys *bbolt.Bucket) error { return keys.Delete(at(30)) },
		// Neither the create revision nor the version is that of its key.
		"chain.db": func(keys *bbolt.Bucket) error { return write(keys, 62, 6, 2, 2, 10) },
	} {
		if err := database(filepath.Join(dir, file), nil, 40, 10, func(tx *bbolt.Tx) error {
			return change(tx.Bucket([]byte("key")))
		}); err != nil {
			return err
		}
	}
	if err := unstartable(dir); err != nil {
		return err
	}
	name = filepath.Join(dir, "nested.db")
	if err := database(name, nil, 10, 10, func(tx *bbolt.Tx) error {
		_, err := tx.Bucket([]byte("key")).CreateBucket([]byte("inside"))
		return err
	}); err != nil {
		return err
	}
	name = filepath.Join(dir, "foreign.db")
	return database(name, nil, 0, 0, func(tx *bbolt.Tx) error {
		for _, bucket := range buckets {
			if err := tx.DeleteBucket([]byte(bucket)); err != nil {
				return err
			}
		}
		_, err := tx.CreateBucket([]byte("metadata"))
		return err
	})
}

// unstartable writes databases that make an etcd panic when it starts, or misbehave afterwards.
func unstartable(dir string) error {
	puts := []struct {
		file, bucket string
		key, value   []byte
	}{
		{"cluster-version.db", "cluster", []byte("clusterVersion"), []byte("v.5.0")},
		{"downgrade.db", "cluster", []byte("downgrade"), []byte(`{"target-version":"3.5","enabled":true}`)},
		{"member.db", "members", []byte("8e9e05c52164694d"), []byte(`{"id":10276657743932975437,"name":5}`)},
		{"member-id.db", "members", []byte("8e9e05c52164694d"), []byte(`{"id":7,"name":"a"}`)},
		{"conf-state.db", "meta", []byte("confState"), []byte(`{"voters":["a"]}`)},
		{"user.db", "authUsers", []byte("root"), []byte("\x0a\x04root\x10\x02")},
		{"user-name.db", "authUsers", []byte("root"), []byte("\x0a\x04rooT")},
		{"role.db", "authRoles", []byte("r"), []byte("\x0a\x01r\x12\x02\x0a\x00")},
		{"role-name.db", "authRoles", []byte("r"), []byte("\x0a\x01s")},
		{"alarm.db", "alarm", []byte("\x0a\x01a"), nil},
		{"auth-revision.db", "auth", []byte("authRevision"), []byte{1}},
		{"lease-id.db", "lease", binary.BigEndian.AppendUint64(nil, 77), []byte("\x08\x4e\x10\x3c")},
		{"compaction.db", "meta", []byte("scheduledCompactRev"), at(1<<62 | 3)},
	}
	for _, p := range puts {
		if err := database(filepath.Join(dir, p.file), nil, 10, 10, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(p.bucket)).Put(p.key, p.value)
		}); err != nil {
			return err
		}
	}
	for _, bucket := range buckets {
		if bucket == "key" || bucket == "meta" {
			continue
		}
		if err := database(filepath.Join(dir, "without-"+bucket+".db"), nil, 10, 10, func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte(bucket))
		}); err != nil {
			return err
		}
	}
	return database(filepath.Join(dir, "lease-lost.db"), nil, 10, 10, func(tx *bbolt.Tx) error {
		kv := mvccpb.KeyValue{Key: []byte("leased"), CreateRevision: 17, ModRevision: 17, Version: 1, Lease: 77}
		value, err := kv.Marshal()
		if err != nil {
			return err
		}
		return tx.Bucket([]byte("key")).Put(at(17), value)
	})
}

// seeds writes databases with small pages, so that a few kilobytes have branches, overflow pages and a free list.
func seeds(dir string) error {
	for name, keys := range map[string]int{"empty": 0, "inline": 2, "leaf": 5, "branch": 40} {
		for suffix, hidden := range map[string]bool{"": true, "-free": false} {
			options := &bbolt.Options{PageSize: 1024, NoFreelistSync: hidden}
			path := filepath.Join(dir, name+suffix+".db")
			if err := database(path, options, keys, 30, func(tx *bbolt.Tx) error {
				return small(tx, keys)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// small puts something into each of the small buckets, and a large value and a tombstone into the bucket of the keys.
func small(tx *bbolt.Tx, keys int) error {
	if keys == 0 {
		return nil
	}
	lease := leasepb.Lease{ID: 77, TTL: 60}
	value, err := lease.Marshal()
	if err != nil {
		return err
	}
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	// The last one so far.
	revision := uint64(1 + keys + keys/2)
	tombstone, err := (&mvccpb.KeyValue{Key: []byte("/registry/configmaps/default/name-00000001")}).Marshal()
	if err != nil {
		return err
	}
	puts := []struct {
		bucket     string
		key, value []byte
	}{
		{"lease", number(77), value},
		{"auth", []byte("authEnabled"), []byte{0}},
		{"auth", []byte("authRevision"), number(3)},
		{"authUsers", []byte("root"), []byte("\x0a\x04root")},
		{"members", []byte("8e9e05c52164694d"), []byte(`{"id":10276657743932975437}`)},
		{"meta", []byte("scheduledCompactRev"), append(append(number(3), '_'), number(0)...)},
		{"meta", []byte("finishedCompactRev"), append(append(number(2), '_'), number(0)...)},
		{"key", append(append(number(revision+1), '_'), append(number(0), 't')...), tombstone},
	}
	for _, p := range puts {
		if err := tx.Bucket([]byte(p.bucket)).Put(p.key, p.value); err != nil {
			return err
		}
	}
	return write(tx.Bucket([]byte("key")), int64(revision)+2, 0, 2, 3, 3000)
}

func many(path string, keys, size int) error {
	options := &bbolt.Options{NoFreelistSync: true, NoSync: true}
	return database(path, options, keys, size)
}

// database writes what an etcd with so many keys has, half of them overwritten once, then makes the
// changes, one transaction each, and leaves a snapshot of it all at path.
func database(path string, options *bbolt.Options, keys, size int, changes ...func(*bbolt.Tx) error) error {
	raw := path + ".raw"
	db, err := bbolt.Open(raw, 0o600, options)
	if err != nil {
		return err
	}
	defer os.Remove(raw)
	defer db.Close()
	db.NoSync = true
	if err := db.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range buckets {
			if _, err := tx.CreateBucket([]byte(bucket)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte("meta"))
		for _, name := range []string{"consistent_index", "term"} {
			if err := meta.Put([]byte(name), binary.BigEndian.AppendUint64(nil, uint64(keys)+7)); err != nil {
				return err
			}
		}
		return meta.Put([]byte("storageVersion"), []byte("3.6.0"))
	}); err != nil {
		return err
	}
	revision := int64(1)
	for first := 0; first < keys+keys/2; first += 5000 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket([]byte("key"))
			bucket.FillPercent = 0.9
			for n := first; n < min(first+5000, keys+keys/2); n++ {
				revision++
				if err := put(bucket, revision, n, keys, size); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, change := range changes {
		if err := db.Update(change); err != nil {
			return err
		}
	}
	return copyTo(db, path)
}

// put writes the n-th entry: all keys in order, and then every other one again.
func put(bucket *bbolt.Bucket, revision int64, n, keys, size int) error {
	if n >= keys {
		n = (n - keys) * 2
		return write(bucket, revision, n, int64(n)+2, 2, size)
	}
	return write(bucket, revision, n, revision, 1, size)
}

// write writes an entry of the n-th key.
func write(bucket *bbolt.Bucket, revision int64, n int, created, version int64, size int) error {
	kv := mvccpb.KeyValue{CreateRevision: created, ModRevision: revision, Version: version}
	kv.Key = fmt.Appendf(nil, "/registry/configmaps/default/name-%08d", n)
	kv.Value = make([]byte, size)
	for at := range kv.Value {
		kv.Value[at] = byte(n*31 + at*7)
	}
	value, err := kv.Marshal()
	if err != nil {
		return err
	}
	return bucket.Put(at(revision), value)
}

// at is the key of the first entry of a revision.
func at(revision int64) []byte {
	key := binary.BigEndian.AppendUint64(nil, uint64(revision))
	return binary.BigEndian.AppendUint64(append(key, '_'), 0)
}

// copyTo writes what etcd sends as a snapshot: the database and its sum.
func copyTo(db *bbolt.DB, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if err := db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(io.MultiWriter(file, sum))
		return err
	}); err != nil {
		return err
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return file.Close()
}
