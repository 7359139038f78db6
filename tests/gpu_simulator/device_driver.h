// The driver, as far as CuPy asks for it. A part of device.cpp.
#pragma once

enum {
    kInvalidValue = 1,
    kNoDevice = 100,
    kInvalidImage = 200,
    kNotFound = 500,
    kTooLarge = 720,
    kNot = 801
};

int cuGetErrorName(int error, const char** name) {
    *name = error == kInvalidValue   ? "CUDA_ERROR_INVALID_VALUE"
            : error == kInvalidImage ? "CUDA_ERROR_INVALID_IMAGE"
            : error == kNotFound     ? "CUDA_ERROR_NOT_FOUND"
            : error == kTooLarge     ? "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"
                                     : "CUDA_ERROR";
    return 0;
}
int cuGetErrorString(int error, const char** name) { return cuGetErrorName(error, name); }
int cuInit(unsigned) { return kNoDevice; }
int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}
int cuDriverGetVersion(int* version) {
    *version = 13020;
    return 0;
}
int cuDevicePrimaryCtxRelease(int) { return 0; }
int cuCtxGetCurrent(void** context) {
    *context = (void*)64;
    return 0;
}
int cuCtxSetCurrent(void*) { return 0; }
int cuCtxCreate(void** context, unsigned, int) {
    *context = (void*)64;
    return 0;
}
int cuCtxDestroy(void*) { return 0; }
int cuCtxGetDevice(int* device) {
    *device = 0;
    return 0;
}
int cuStreamGetCtx(void*, void** context) {
    *context = (void*)64;
    return 0;
}
int cuLinkCreate(unsigned, void*, void**, void**) { return kNot; }
int cuLinkAddData(void*, int, void*, size_t, const char*, unsigned, void*, void**) { return kNot; }
int cuLinkAddFile(void*, int, const char*, unsigned, void*, void**) { return kNot; }
int cuLinkComplete(void*, void**, size_t*) { return kNot; }
int cuLinkDestroy(void*) { return 0; }
int cuModuleLoad(void**, const char*) { return kNot; }
int cuModuleLoadData(void** module, const void* image) {
    // In place of machine code: the path of a library that g++ made.
    if (memcmp(image, "ON_CPU:", 7)) return kInvalidImage;
    *module = dlopen((const char*)image + 7, RTLD_NOW | RTLD_LOCAL);
    if (*module) return 0;
    fprintf(stderr, "simulated GPU: %s\n", dlerror());
    return kInvalidImage;
}
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
    *function = dlsym(module, (std::string("on_cpu_kernel_") + name).c_str());
    return *function ? 0 : kNotFound;
}
int cuModuleGetGlobal(void** place, size_t* size, void* module, const char* name) {
    void* symbol = dlsym(module, name);
    if (!symbol) return kNotFound;
    Dl_info info;
    const ElfW(Sym)* entry = nullptr;
    dladdr1(symbol, &info, (void**)&entry, RTLD_DL_SYMENT);
    if (place) *place = symbol;
    if (size) *size = entry ? entry->st_size : 0;
    if (entry) state.device[(uintptr_t)symbol] = entry->st_size;
    return 0;
}
int cuFuncGetAttribute(int* value, int number, void*) {
    *value = number == 0 ? 1024 : number == 4 ? 32 : 0;
    return 0;
}
int cuFuncSetAttribute(void* function, int number, int value) {
    if (number != 8) return 0;
    if (value > attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) return kInvalidValue;
    ((KernelTable*)function)->shared_limit = value;
    return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int threads, size_t) {
    *blocks = 2048 / std::max(threads, 1);
    return 0;
}
int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int limit) {
    *grid = 264;
    *block = limit > 0 && limit < 512 ? limit : 512;
    return 0;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* stream, void** params, void**) {
    auto* kernel = (KernelTable*)function;
    const size_t threads = (size_t)bx * by * bz;
    if (!gx || !gy || !gz || !threads || threads > 1024 || bz > 64 || gx > 2147483647u ||
        gy > 65535 || gz > 65535 || (int)shared > kernel->shared_limit) {
        fprintf(stderr,
                "simulated GPU: %s: no launch with grid (%u,%u,%u), block (%u,%u,%u), %u bytes\n",
                kernel->name, gx, gy, gz, bx, by, bz, shared);
        return kInvalidValue;
    }
    state.counts[launches]++;
    state.kernels[kernel->name]++;
    // Arguments are copied: the caller may change them as soon as this returns.
    std::vector<std::string> values;
    for (int i = 0; i < kernel->count; i++) values.emplace_back((char*)params[i], kernel->sizes[i]);
    return enqueue(stream_of(stream), kernel->name, [=]() mutable {
        std::vector<void*> places;
        for (auto& value : values) places.push_back(value.data());
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        kernel->run(grid, block, shared, places.data());
    });
}
int cuLaunchCooperativeKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                              unsigned by, unsigned bz, unsigned shared, void* stream,
                              void** params) {
    if ((size_t)gx * gy * gz > 264) return kTooLarge;
    return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, stream, params, nullptr);
}
