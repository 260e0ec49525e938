//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
)

// keyPrefix and bucketPrefix begin the keys of mailfront, and those of clients and accounts
// with a limit.
const (
	keyPrefix    = "mailfront:"
	bucketPrefix = keyPrefix + "bucket/"
)

// buckets returns the number of keys of clients and accounts. The store also has the signing
// key and bans.
func (c *cluster) buckets(ctx context.Context) (count int64, err error) {
	keys := c.store.Client.Scan(ctx, 0, bucketPrefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		count++
	}
	return count, keys.Err()
}

// memory returns the bytes that the store uses.
func (c *cluster) memory(ctx context.Context) (bytes int64, err error) {
	info, err := c.store.Client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &bytes)
	return bytes, err
}

// values returns the bytes of all keys that are not buckets, and their number. Unlike memory
// it does not count the buffers of connections.
func (c *cluster) values(ctx context.Context) (bytes, count int64, err error) {
	keys := c.store.Client.Scan(ctx, 0, keyPrefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		if strings.HasPrefix(keys.Val(), bucketPrefix) {
			continue
		}
		n, err := c.store.Client.MemoryUsage(ctx, keys.Val()).Result()
		if err != nil {
			return 0, 0, err
		}
		bytes, count = bytes+n, count+1
	}
	return bytes, count, keys.Err()
}
