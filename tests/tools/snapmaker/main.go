// Command snapmaker makes database files for the tests, with etcd's and bbolt's own code, and says what they hold
// according to etcd.
//
//	snapmaker live URL DIR COUNT SEED [hasty]
//	                                    changes a running etcd at random, COUNT times, takes a snapshot after each
//	                                    round and asks it for HashKV at several revisions; one line of JSON for each;
//	                                    "hasty" waits for no compaction
//	snapmaker fill URL KEYS BYTES       puts that many keys, every third of them again, and compacts: what a database
//	                                    looks like that has been in use
//	snapmaker latency URL               how long puts take, alone and while etcd computes its HashKV
//	snapmaker bolt DIR                  databases with a free list, of every page size, and some that are not etcd's
//	snapmaker seeds DIR                 a few of the smallest, to begin fuzzing with
//	snapmaker keys FILE KEYS BYTES      one large snapshot: KEYS keys with values of BYTES bytes
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "snapmaker:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
	case args[0] == "live" && (len(args) == 5 || len(args) == 6 && args[5] == "hasty"):
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		seed, err := strconv.ParseInt(args[4], 10, 64)
		if err != nil {
			return err
		}
		return live(args[1], args[2], count, seed, len(args) == 6)
	case len(args) == 4 && args[0] == "fill":
		keys, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		bytes, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return fill(args[1], keys, bytes)
	case len(args) == 2 && args[0] == "latency":
		return latency(args[1])
	case len(args) == 2 && args[0] == "bolt":
		return bolt(args[1])
	case len(args) == 2 && args[0] == "seeds":
		return seeds(args[1])
	case len(args) == 4 && args[0] == "keys":
		keys, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		bytes, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return many(args[1], keys, bytes)
	}
	return fmt.Errorf("unknown words: %v", args)
}

// say prints one line of JSON.
func say(value any) error {
	return json.NewEncoder(os.Stdout).Encode(value)
}
