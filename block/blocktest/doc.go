// Package blocktest holds what the tests of every block layer share: the
// conformance suites that say what the contracts of package block mean
// (TestReader, TestDevice), decorators that fail chosen operations
// (FaultReader, FaultDevice) and one that counts reads (Count).
//
// It is imported by tests only.
//
// A layer's main test is one line:
//
//	blocktest.TestDevice(t, func(t *testing.T) block.Device { return cow.New(...) })
//
// To fail every I/O in turn, raise the index until nothing is hit any more:
//
//	for n := int64(0); ; n++ {
//		f := blocktest.NewFaults(n, blocktest.AnyOp)
//		run(blocktest.FaultDevice(dev, f)) // must return ErrInjected or succeed, and leak nothing
//		if !f.Hit() {
//			break
//		}
//	}
package blocktest
