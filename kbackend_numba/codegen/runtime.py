"""The two functions that run compiled kernels on several threads without the interpreter.

`run` goes through a tape of records, one for each call of a kernel. It cuts the items of a large
call into chunks, puts chunks up for each thread, does its own, helps with the others' and waits
until all are done. `serve` is what the other threads do meanwhile: wait for chunks by spinning, and
return when none have come for a while.

A thread claims a chunk by a compare-and-swap on a word that holds the number of the call, so a
thread that comes late can never take a chunk of a call that is over; and as long as it has a chunk,
the call is not over. That is why the rest needs no locks.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.ir.instructions import StoreAtomicInstr

from kbackend_numba.codegen.target import Target

_I64 = ir.IntType(64)
_POINTER = ir.PointerType()

# Words of a record.
FUNCTION, ARRAYS, SIZES, ITEMS, CHUNK, PARALLEL, RECORD = 0, 1, 2, 3, 4, 5, 8
# Words of the memory that the threads share; each group has a cache line of its own.
EPOCH, DONE, CURRENT, THREADS, CHUNKS, YIELD, FIRST_QUEUE, LINE = 0, 8, 16, 17, 18, 19, 24, 8
# A thread's queue is one word: number of the call, next chunk, number of chunks.
_CHUNK_BITS = 16
MOST_CHUNKS = (1 << _CHUNK_BITS) - 1
# Turns of a waiting loop before the core is offered to others.
_PATIENCE = 20_000


def write(name: str, target: Target) -> ir.Module:
    """The module of `<name>_run(shared, tape, records, threads)` and `<name>_serve(shared, me,
    turns)`."""
    return _Runtime(name, target).module


class _Runtime:
    def __init__(self, name: str, target: Target) -> None:
        self.module = ir.Module(name)
        self.module.triple = target.triple
        self._x86 = target.triple.startswith(("x86_64", "i"))
        self._arm = target.triple.startswith(("aarch64", "arm64"))
        void = ir.VoidType()
        self._kernel = ir.FunctionType(void, [_POINTER, _POINTER, _I64, _I64, _I64])
        self._work = ir.Function(
            self.module, ir.FunctionType(void, [_POINTER, _I64]), f"{name}_work"
        )
        self._work.linkage = "internal"
        self._write_work()
        self._write_run(name)
        self._write_serve(name)

    # ----- small things -----

    def _at(self, build: ir.IRBuilder, base: Any, word: Any) -> Any:
        index = ir.Constant(_I64, word) if isinstance(word, int) else word
        return build.gep(base, [index], source_etype=_I64)

    def _load(self, build: ir.IRBuilder, base: Any, word: Any, typ: Any = _I64) -> Any:
        return build.load(self._at(build, base, word), typ=typ)

    def _acquire(self, build: ir.IRBuilder, place: Any) -> Any:
        return build.load_atomic(place, "acquire", 8, typ=_I64)

    def _release(self, build: ir.IRBuilder, value: Any, place: Any) -> None:
        build._insert(StoreAtomicInstr(build.block, value, place, "release", 8))

    def _pause(self, build: ir.IRBuilder) -> None:
        void = ir.VoidType()
        if self._x86:
            kind = ir.FunctionType(void, [])
            build.call(self._declared("llvm.x86.sse2.pause", kind), [])
        elif self._arm:
            kind = ir.FunctionType(void, [ir.IntType(32)])
            hint = self._declared("llvm.aarch64.hint", kind)
            build.call(hint, [ir.Constant(ir.IntType(32), 1)])

    def _declared(self, name: str, kind: Any) -> Any:
        found = self.module.globals.get(name)
        return found if found is not None else ir.Function(self.module, kind, name)

    def _queue(self, build: ir.IRBuilder, shared: Any, thread: Any) -> Any:
        """The place of a thread's queue."""
        word = build.add(build.mul(thread, ir.Constant(_I64, LINE)), ir.Constant(_I64, FIRST_QUEUE))
        return self._at(build, shared, word)

    def _share(self, build: ir.IRBuilder, chunks: Any, thread: Any, threads: Any) -> Any:
        """The first chunk of a thread."""
        return build.sdiv(build.mul(chunks, thread), threads)

    # ----- work(shared, me): claims and does chunks until there are none -----

    def _write_work(self) -> None:
        fn = self._work
        shared, me = fn.args
        entry, each, try_, claim, mine, turn, done = [
            fn.append_basic_block(n)
            for n in ("entry", "each", "try", "claim", "mine", "turn", "done")
        ]
        one, mask = ir.Constant(_I64, 1), ir.Constant(_I64, MOST_CHUNKS)
        build = ir.IRBuilder(entry)
        threads = self._load(build, shared, THREADS)
        build.branch(each)
        build = ir.IRBuilder(each)
        turns = build.phi(_I64)
        turns.add_incoming(ir.Constant(_I64, 0), entry)
        thread = build.srem(build.add(me, turns), threads)
        queue = self._queue(build, shared, thread)
        build.branch(try_)
        build = ir.IRBuilder(try_)
        word = self._acquire(build, queue)
        next_ = build.and_(build.lshr(word, ir.Constant(_I64, _CHUNK_BITS)), mask)
        build.cbranch(build.icmp_unsigned("<", next_, build.and_(word, mask)), claim, turn)
        build = ir.IRBuilder(claim)
        taken = build.add(word, ir.Constant(_I64, 1 << _CHUNK_BITS))
        swapped = build.cmpxchg(queue, word, taken, "acq_rel", "acquire")
        build.cbranch(build.extract_value(swapped, 1), mine, try_)
        build = ir.IRBuilder(mine)
        record = self._load(build, shared, CURRENT, _POINTER)
        chunks = self._load(build, shared, CHUNKS)
        number = build.add(self._share(build, chunks, thread, threads), next_)
        size = self._load(build, record, CHUNK)
        items = self._load(build, record, ITEMS)
        begin = build.mul(number, size)
        end = build.add(begin, size)
        end = build.select(build.icmp_signed("<", end, items), end, items)
        self._call(build, record, begin, end, me)
        build.atomic_rmw("add", self._at(build, shared, DONE), one, "acq_rel")
        build.branch(try_)
        build = ir.IRBuilder(turn)
        following = build.add(turns, one)
        turns.add_incoming(following, turn)
        build.cbranch(build.icmp_signed("<", following, threads), each, done)
        ir.IRBuilder(done).ret_void()

    def _call(self, build: ir.IRBuilder, record: Any, begin: Any, end: Any, me: Any) -> None:
        function = self._load(build, record, FUNCTION)
        typed = build.inttoptr(function, ir.PointerType(self._kernel))
        arrays = self._load(build, record, ARRAYS, _POINTER)
        sizes = self._load(build, record, SIZES, _POINTER)
        build.call(typed, [arrays, sizes, begin, end, me])

    # ----- run(shared, tape, records, threads) -----

    def _write_run(self, name: str) -> None:
        kind = ir.FunctionType(ir.VoidType(), [_POINTER, _POINTER, _I64, _I64])
        fn = ir.Function(self.module, kind, f"{name}_run")
        shared, tape, records, threads = fn.args
        entry, head, body, alone, share, put, ready, wait, spin, offer, next_, done = [
            fn.append_basic_block(n)
            for n in (
                "entry", "head", "body", "alone", "share", "put", "ready", "wait", "spin", "offer",
                "next", "done",
            )
        ]  # fmt: skip
        zero, one = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
        build = ir.IRBuilder(entry)
        build.branch(head)
        build = ir.IRBuilder(head)
        index = build.phi(_I64)
        index.add_incoming(zero, entry)
        build.cbranch(build.icmp_signed("<", index, records), body, done)
        build = ir.IRBuilder(body)
        record = self._at(build, tape, build.mul(index, ir.Constant(_I64, RECORD)))
        items = self._load(build, record, ITEMS)
        parallel = self._load(build, record, PARALLEL)
        several = build.icmp_signed(">", threads, one)
        both = build.and_(several, build.icmp_signed("!=", parallel, zero))
        build.cbranch(both, share, alone)
        build = ir.IRBuilder(alone)
        self._call(build, record, zero, items, zero)
        build.branch(next_)

        build = ir.IRBuilder(share)
        size = self._load(build, record, CHUNK)
        chunks = build.sdiv(build.add(items, build.sub(size, one)), size)
        build.store(record, self._at(build, shared, CURRENT))
        build.store(threads, self._at(build, shared, THREADS))
        build.store(chunks, self._at(build, shared, CHUNKS))
        self._release(build, zero, self._at(build, shared, DONE))
        epoch = build.add(self._load(build, shared, EPOCH), one)
        high = build.shl(epoch, ir.Constant(_I64, 2 * _CHUNK_BITS))
        build.branch(put)
        build = ir.IRBuilder(put)
        thread = build.phi(_I64)
        thread.add_incoming(zero, share)
        following = build.add(thread, one)
        start = self._share(build, chunks, thread, threads)
        stop = self._share(build, chunks, following, threads)
        word = build.or_(high, build.sub(stop, start))
        self._release(build, word, self._queue(build, shared, thread))
        thread.add_incoming(following, put)
        build.cbranch(build.icmp_signed("<", following, threads), put, ready)
        build = ir.IRBuilder(ready)
        self._release(build, epoch, self._at(build, shared, EPOCH))
        build.call(self._work, [shared, zero])
        build.branch(wait)
        build = ir.IRBuilder(wait)
        turns = build.phi(_I64)
        turns.add_incoming(zero, ready)
        finished = self._acquire(build, self._at(build, shared, DONE))
        build.cbranch(build.icmp_signed("<", finished, chunks), spin, next_)
        build = ir.IRBuilder(spin)
        self._pause(build)
        more = build.add(turns, one)
        impatient = build.icmp_signed(">", more, ir.Constant(_I64, _PATIENCE))
        turns.add_incoming(more, spin)
        build.cbranch(impatient, offer, wait)
        build = ir.IRBuilder(offer)
        self._offer(build, shared)
        turns.add_incoming(zero, build.block)
        build.branch(wait)

        build = ir.IRBuilder(next_)
        index.add_incoming(build.add(index, one), next_)
        build.branch(head)
        ir.IRBuilder(done).ret_void()

    def _offer(self, build: ir.IRBuilder, shared: Any) -> None:
        """Lets another process have the core, where the system has a call for that."""
        address = self._load(build, shared, YIELD)
        with build.if_then(build.icmp_signed("!=", address, ir.Constant(_I64, 0))):
            kind = ir.FunctionType(ir.IntType(32), [])
            build.call(build.inttoptr(address, ir.PointerType(kind)), [])

    # ----- serve(shared, me, turns) -----

    def _write_serve(self, name: str) -> None:
        kind = ir.FunctionType(ir.VoidType(), [_POINTER, _I64, _I64])
        fn = ir.Function(self.module, kind, f"{name}_serve")
        shared, me, patience = fn.args
        entry, look, work, idle, done = [
            fn.append_basic_block(n) for n in ("entry", "look", "work", "idle", "done")
        ]
        zero = ir.Constant(_I64, 0)
        build = ir.IRBuilder(entry)
        build.branch(look)
        build = ir.IRBuilder(look)
        last, turns = build.phi(_I64), build.phi(_I64)
        last.add_incoming(ir.Constant(_I64, -1), entry)
        turns.add_incoming(zero, entry)
        epoch = self._acquire(build, self._at(build, shared, EPOCH))
        build.cbranch(build.icmp_signed("!=", epoch, last), work, idle)
        build = ir.IRBuilder(work)
        build.call(self._work, [shared, me])
        last.add_incoming(epoch, work)
        turns.add_incoming(zero, work)
        build.branch(look)
        build = ir.IRBuilder(idle)
        self._pause(build)
        more = build.add(turns, ir.Constant(_I64, 1))
        last.add_incoming(last, idle)
        turns.add_incoming(more, idle)
        build.cbranch(build.icmp_signed("<", more, patience), look, done)
        ir.IRBuilder(done).ret_void()
