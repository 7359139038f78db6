// cuBLAS and part of cuRAND on the host: work in the order of the handle's stream.
//
// Sums are made in double precision. What CuPy links and this lacks is a stub that fails.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

extern "C" {
int gpu_simulator_enqueue(void*, const char*, void (*)(void*), void*);
int gpu_simulator_is_device(const void*, size_t);
}

namespace {

typedef std::function<void()> Work;
enum Type { kFloat = 0, kDouble = 1, kHalf = 2, kBfloat = 14 };
enum Status { kInvalid = 7, kMapping = 11, kFailed = 13 };

// Work is never deleted: graphs run it again.
int enqueue(void* stream, const char* name, Work work) {
    auto* kept = new Work(std::move(work));
    auto call = [](void* data) { (*(Work*)data)(); };
    return gpu_simulator_enqueue(stream, name, call, kept) ? kFailed : 0;
}

struct Handle {
    void* stream = nullptr;
    int pointers = 0, math = 0;  // pointers: 0 of the host, 1 of the device
};

size_t size_of(int type) { return type == kFloat ? 4 : type == kDouble ? 8 : 2; }

double load(const void* array, int type, size_t i) {
    switch (type) {
        case kFloat: return ((const float*)array)[i];
        case kDouble: return ((const double*)array)[i];
        case kHalf: return (float)((const _Float16*)array)[i];
        case kBfloat: {
            const uint32_t bits = (uint32_t)((const uint16_t*)array)[i] << 16;
            float value;
            memcpy(&value, &bits, 4);
            return value;
        }
    }
    abort();
}

void store(void* array, int type, size_t i, double value) {
    switch (type) {
        case kFloat: ((float*)array)[i] = (float)value; return;
        case kDouble: ((double*)array)[i] = value; return;
        case kHalf: ((_Float16*)array)[i] = (_Float16)(float)value; return;
        case kBfloat: {
            const float narrow = (float)value;
            uint32_t bits;
            memcpy(&bits, &narrow, 4);
            const bool nan = narrow != narrow;
            ((uint16_t*)array)[i] = nan ? 0x7FC0 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
            return;
        }
    }
    abort();
}

struct Matrix {
    const void* data;
    int type, lead;
    long long step;           // elements from one matrix of a batch to the next
    const void* const* many;  // or a pointer for each of them
    const void* at(int z) const {
        return many ? many[z] : (const char*)data + (long long)size_of(type) * step * z;
    }
};

// C = alpha op(A) op(B) + beta C, column by column.
int product(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, int scalar, Matrix a,
            Matrix b, const void* beta, Matrix c, int batch) {
    if (m < 0 || n < 0 || k < 0 || a.lead < (ta ? k : m) || b.lead < (tb ? n : k) || c.lead < m)
        return kInvalid;
    if (!c.many && m && n && batch && !gpu_simulator_is_device(c.data, size_of(c.type)))
        return kMapping;
    const bool late = h->pointers == 1;
    const double alpha_now = late ? 0 : load(alpha, scalar, 0),
                 beta_now = late ? 0 : load(beta, scalar, 0);
    return enqueue(h->stream, "gemm", [=] {
        const double x = late ? load(alpha, scalar, 0) : alpha_now;
        const double y = late ? load(beta, scalar, 0) : beta_now;
        for (int z = 0; z < batch; z++)
            for (int j = 0; j < n; j++)
                for (int i = 0; i < m; i++) {
                    double sum = 0;
                    for (int l = 0; l < k; l++) {
                        const size_t left = ta ? (size_t)i * a.lead + l : (size_t)l * a.lead + i;
                        const size_t right = tb ? (size_t)l * b.lead + j : (size_t)j * b.lead + l;
                        sum += load(a.at(z), a.type, left) * load(b.at(z), b.type, right);
                    }
                    void* out = (void*)c.at(z);
                    const size_t place = (size_t)j * c.lead + i;
                    store(out, c.type, place,
                          x * sum + (y != 0 ? y * load(out, c.type, place) : 0));
                }
    });
}

int scalar_of(int compute) {
    return compute >= 70 && compute < 72 ? kDouble : compute >= 64 && compute < 66 ? kHalf : kFloat;
}

int vector_sum(Handle* h, int n, const void* x, int ix, const void* y, int iy, void* out, int type,
               int kind) {
    auto work = [=] {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            const double a = load(x, type, (size_t)i * ix),
                         b = y ? load(y, type, (size_t)i * iy) : a;
            sum += kind == 2 ? fabs(a) : a * b;
        }
        store(out, type, 0, kind == 1 ? sqrt(sum) : sum);
    };
    if (h->pointers == 1) return enqueue(h->stream, "dot", work);
    work();
    return 0;
}

struct Generator {
    std::mt19937_64 bits;
    void* stream = nullptr;
    double uniform() { return ((bits() >> 11) + 1) * 0x1p-53; }
    double normal() { return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()); }
};

template <class T, class F>
int fill(Generator* g, T* out, size_t n, F draw) {
    return enqueue(g->stream, "random", [=] {
        for (size_t i = 0; i < n; i++) out[i] = (T)draw();
    });
}

}  // namespace

#define SHAPE Handle *h, int ta, int tb, int m, int n, int k, const void *alpha
#define GEMM(name, T)                                                                              \
    int name(SHAPE, const void* a, int la, const void* b, int lb, const void* beta, void* c,       \
             int lc) {                                                                             \
        return product(h, ta, tb, m, n, k, alpha, T, {a, T, la}, {b, T, lb}, beta, {c, T, lc}, 1); \
    }
#define GEMM_STRIDED(name, T)                                                                 \
    int name(SHAPE, const void* a, int la, long long sa, const void* b, int lb, long long sb, \
             const void* beta, void* c, int lc, long long sc, int batch) {                    \
        return product(h, ta, tb, m, n, k, alpha, T, {a, T, la, sa}, {b, T, lb, sb}, beta,    \
                       {c, T, lc, sc}, batch);                                                \
    }
#define GEMM_BATCHED(name, T)                                                                     \
    int name(SHAPE, const void* const* a, int la, const void* const* b, int lb, const void* beta, \
             const void* const* c, int lc, int batch) {                                           \
        return product(h, ta, tb, m, n, k, alpha, T, {0, T, la, 0, a}, {0, T, lb, 0, b}, beta,    \
                       {0, T, lc, 0, c}, batch);                                                  \
    }
#define VECTOR(letter, T)                                                                      \
    int cublas##letter##dot_v2(Handle* h, int n, const void* x, int ix, const void* y, int iy, \
                               void* r) {                                                      \
        return vector_sum(h, n, x, ix, y, iy, r, T, 0);                                        \
    }                                                                                          \
    int cublas##letter##nrm2_v2(Handle* h, int n, const void* x, int ix, void* r) {            \
        return vector_sum(h, n, x, ix, 0, 0, r, T, 1);                                         \
    }                                                                                          \
    int cublas##letter##asum_v2(Handle* h, int n, const void* x, int ix, void* r) {            \
        return vector_sum(h, n, x, ix, 0, 0, r, T, 2);                                         \
    }

extern "C" {
int cublasCreate_v2(Handle** h) {
    *h = new Handle;
    return 0;
}
int cublasDestroy_v2(Handle* h) {
    delete h;
    return 0;
}
int cublasGetVersion_v2(Handle*, int* version) {
    *version = 130200;
    return 0;
}
int cublasSetStream_v2(Handle* h, void* stream) {
    h->stream = stream;
    return 0;
}
int cublasGetStream_v2(Handle* h, void** stream) {
    *stream = h->stream;
    return 0;
}
int cublasSetPointerMode_v2(Handle* h, int mode) {
    h->pointers = mode;
    return 0;
}
int cublasGetPointerMode_v2(Handle* h, int* mode) {
    *mode = h->pointers;
    return 0;
}
int cublasSetMathMode(Handle* h, int mode) {
    h->math = mode;
    return 0;
}
int cublasGetMathMode(Handle* h, int* mode) {
    *mode = h->math;
    return 0;
}
int cublasSetWorkspace_v2(Handle*, void*, size_t) { return 0; }
GEMM(cublasSgemm_v2, kFloat)
GEMM(cublasDgemm_v2, kDouble)
GEMM_STRIDED(cublasSgemmStridedBatched, kFloat)
GEMM_STRIDED(cublasDgemmStridedBatched, kDouble)
GEMM_BATCHED(cublasSgemmBatched, kFloat)
GEMM_BATCHED(cublasDgemmBatched, kDouble)
int cublasSgemmEx(SHAPE, const void* a, int at, int la, const void* b, int bt, int lb,
                  const void* beta, void* c, int ct, int lc) {
    return product(h, ta, tb, m, n, k, alpha, kFloat, {a, at, la}, {b, bt, lb}, beta, {c, ct, lc},
                   1);
}
int cublasGemmEx(SHAPE, const void* a, int at, int la, const void* b, int bt, int lb,
                 const void* beta, void* c, int ct, int lc, int compute, int) {
    return product(h, ta, tb, m, n, k, alpha, scalar_of(compute), {a, at, la}, {b, bt, lb}, beta,
                   {c, ct, lc}, 1);
}
int cublasGemmStridedBatchedEx(SHAPE, const void* a, int at, int la, long long sa, const void* b,
                               int bt, int lb, long long sb, const void* beta, void* c, int ct,
                               int lc, long long sc, int batch, int compute, int) {
    return product(h, ta, tb, m, n, k, alpha, scalar_of(compute), {a, at, la, sa}, {b, bt, lb, sb},
                   beta, {c, ct, lc, sc}, batch);
}
VECTOR(S, kFloat)
VECTOR(D, kDouble)

int curandCreateGenerator(Generator** g, int) {
    *g = new Generator;
    return 0;
}
int curandDestroyGenerator(Generator* g) {
    delete g;
    return 0;
}
int curandGetVersion(int* version) {
    *version = 10400;
    return 0;
}
int curandSetStream(Generator* g, void* stream) {
    g->stream = stream;
    return 0;
}
int curandSetPseudoRandomGeneratorSeed(Generator* g, unsigned long long seed) {
    g->bits.seed(seed);
    return 0;
}
int curandSetGeneratorOffset(Generator* g, unsigned long long offset) {
    g->bits.discard(offset);
    return 0;
}
int curandSetGeneratorOrdering(Generator*, int) { return 0; }
int curandGenerate(Generator* g, unsigned* out, size_t n) {
    return fill(g, out, n, [g] { return g->bits() >> 32; });
}
int curandGenerateLongLong(Generator* g, unsigned long long* out, size_t n) {
    return fill(g, out, n, [g] { return g->bits(); });
}
int curandGenerateUniform(Generator* g, float* out, size_t n) {
    return fill(g, out, n, [g] { return g->uniform(); });
}
int curandGenerateUniformDouble(Generator* g, double* out, size_t n) {
    return fill(g, out, n, [g] { return g->uniform(); });
}
int curandGenerateNormal(Generator* g, float* out, size_t n, float mean, float scale) {
    return fill(g, out, n, [=] { return mean + scale * g->normal(); });
}
int curandGenerateNormalDouble(Generator* g, double* out, size_t n, double mean, double scale) {
    return fill(g, out, n, [=] { return mean + scale * g->normal(); });
}
}
