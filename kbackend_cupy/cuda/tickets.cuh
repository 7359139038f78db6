// Blocks that go on with what others have written. Nobody waits: whoever comes last goes on.
namespace kb {

// Whether a block is the last one of `count` to draw from a ticket; all of its threads come here,
// and all are told. The last one finds what the others wrote before, and leaves the ticket at 0,
// as it was.
__device__ __forceinline__ bool is_last(unsigned* ticket, unsigned count) {
    __shared__ unsigned drawn[1];
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        drawn[0] = atomicAdd(ticket, 1u);
        if (drawn[0] == count - 1) *ticket = 0;
        __threadfence();
    }
    __syncthreads();
    return drawn[0] == count - 1;
}

}  // namespace kb
