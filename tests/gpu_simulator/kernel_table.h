// What a compiled kernel text tells the simulated driver: one table for each kernel.
#pragma once
#include <cstddef>

struct KernelTable {
    // (grid, block, bytes of dynamic shared memory, addresses of the arguments)
    void (*run)(const unsigned*, const unsigned*, size_t, void**);
    int count;            // of arguments
    const size_t* sizes;  // of arguments, in bytes
    const char* name;
    int shared_limit;  // bytes of dynamic shared memory that a launch may ask for
};
