/*
 * Snapshots (loader/peldr.h): what images have changed is put back, by any way of changing it, as
 * often as wanted and without a trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "loader/ke/process.h"
#include "loader/mm/scan.h"
#include "loader/mm/view.h"
#include "loader/peldr.h"
#include "tests/samples.h"

static const char *set;
static peldr_module *dll, *kernel32, *msvcrt;

static uint32_t(PELDR_CDECL *decode)(const void *bytes, uint32_t size);
static void *(PELDR_WINAPI *virtual_alloc)(void *at, size_t size, uint32_t type, uint32_t protect);
static int(PELDR_WINAPI *virtual_free)(void *at, size_t size, uint32_t type);
static int(PELDR_WINAPI *virtual_protect)(void *at, size_t size, uint32_t protect, uint32_t *old);
static void *(PELDR_WINAPI *process_heap)(void);
static void *(PELDR_WINAPI *heap_alloc)(void *heap, uint32_t flags, size_t size);
static void *(PELDR_WINAPI *heap_realloc)(void *heap, uint32_t flags, void *block, size_t size);
static int(PELDR_WINAPI *heap_free)(void *heap, uint32_t flags, void *block);
static size_t(PELDR_WINAPI *heap_size)(void *heap, uint32_t flags, const void *block);
static void *(PELDR_WINAPI *heap_create)(uint32_t flags, size_t initial, size_t maximum);
static void *(PELDR_CDECL *crt_malloc)(size_t size);
static void(PELDR_CDECL *crt_free)(void *block);
static int(PELDR_CDECL *crt_rand)(void);
static uint32_t(PELDR_WINAPI *tls_alloc)(void);
static int(PELDR_WINAPI *tls_set)(uint32_t index, void *value);
static void *(PELDR_WINAPI *tls_get)(uint32_t index);
static uint32_t(PELDR_WINAPI *fls_alloc)(void *callback);
static int(PELDR_WINAPI *fls_set)(uint32_t index, void *value);
static void *(PELDR_WINAPI *fls_get)(uint32_t index);
static void(PELDR_WINAPI *set_last_error)(uint32_t error);
static uint32_t(PELDR_WINAPI *get_last_error)(void);
static void *(PELDR_WINAPI *create_event)(void *security, int manual, int initial, void *name);
static int(PELDR_WINAPI *close_handle)(void *handle);
static uint32_t(PELDR_WINAPI *wait_for)(void *handle, uint32_t milliseconds);
static void *(PELDR_WINAPI *load_library)(const char *name);
static int(PELDR_WINAPI *free_library)(void *module);
static void *(PELDR_WINAPI *get_module)(const char *name);
static void *(PELDR_WINAPI *set_filter)(void *filter);
static void *(PELDR_CDECL *crt_fopen)(const char *name, const char *mode);

static void *must(void *found, const char *what)
{
    if (!found)
        fail_msg("%s %s: %s", set, what, peldr_error());
    return found;
}

static const struct {
    const char *name;
    void *where;
    peldr_module **module;
} functions[] = {
    {"decode", &decode, &dll},
    {"VirtualAlloc", &virtual_alloc, &kernel32},
    {"VirtualFree", &virtual_free, &kernel32},
    {"VirtualProtect", &virtual_protect, &kernel32},
    {"GetProcessHeap", &process_heap, &kernel32},
    {"HeapAlloc", &heap_alloc, &kernel32},
    {"HeapReAlloc", &heap_realloc, &kernel32},
    {"HeapFree", &heap_free, &kernel32},
    {"HeapSize", &heap_size, &kernel32},
    {"HeapCreate", &heap_create, &kernel32},
    {"malloc", &crt_malloc, &msvcrt},
    {"free", &crt_free, &msvcrt},
    {"rand", &crt_rand, &msvcrt},
    {"fopen", &crt_fopen, &msvcrt},
    {"TlsAlloc", &tls_alloc, &kernel32},
    {"TlsSetValue", &tls_set, &kernel32},
    {"TlsGetValue", &tls_get, &kernel32},
    {"FlsAlloc", &fls_alloc, &kernel32},
    {"FlsSetValue", &fls_set, &kernel32},
    {"FlsGetValue", &fls_get, &kernel32},
    {"SetLastError", &set_last_error, &kernel32},
    {"GetLastError", &get_last_error, &kernel32},
    {"CreateEventA", &create_event, &kernel32},
    {"CloseHandle", &close_handle, &kernel32},
    {"WaitForSingleObject", &wait_for, &kernel32},
    {"LoadLibraryA", &load_library, &kernel32},
    {"FreeLibrary", &free_library, &kernel32},
    {"GetModuleHandleA", &get_module, &kernel32},
    {"SetUnhandledExceptionFilter", &set_filter, &kernel32},
};

static char *path_of(const char *name)
{
    static char path[SAMPLE_PATH_MAX];
    assert_true(sample_path(set, name, path));
    return path;
}

static void load(void)
{
    kernel32 = must(peldr_open("kernel32.dll", 0), "kernel32.dll");
    msvcrt = must(peldr_open("msvcrt.dll", 0), "msvcrt.dll");
    dll = must(peldr_open(path_of("notes.dll"), 0), "notes.dll");
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *found = must(peldr_sym(*functions[i].module, functions[i].name), functions[i].name);
        memcpy(functions[i].where, &found, sizeof(found));
    }
}

static void unload(void)
{
    peldr_snapshot_drop();
    peldr_close(dll);
    peldr_close(msvcrt);
    peldr_close(kernel32);
}

static void in_every_set(void (*body)(void))
{
    for (int i = 0; sample_sets[i]; i++) {
        set = sample_sets[i];
        load();
        body();
        unload();
    }
}

static void snapshot(void)
{
    if (peldr_snapshot() != 0)
        fail_msg("%s snapshot: %s", set, peldr_error());
}

static void reset(void)
{
    if (peldr_reset() != 0)
        fail_msg("%s reset: %s", set, peldr_error());
}

/* ---- an image's own state ---- */

static const char message[] = "N\5helloT\3abcS\2\0\0\0\7N\1x";
#define MESSAGE message, sizeof(message) - 1

static void repeated(void)
{
    uint32_t first, second, again;
    decode(MESSAGE);
    snapshot();
    first = decode(MESSAGE);
    second = decode(MESSAGE);
    assert_int_not_equal(first, second);
    for (int i = 0; i < 1000; i++) {
        reset();
        again = decode(MESSAGE);
        if (again != first)
            fail_msg("%s: after reset %d the answer is 0x%x, was 0x%x", set, i, again, first);
    }
}

static void test_every_call_is_the_first(void **state)
{
    in_every_set(repeated);
}

static void by_old_kernel(void)
{
    uint32_t first;
    mm_scan_plainly = true;
    snapshot();
    first = decode(MESSAGE);
    reset();
    assert_int_equal(decode(MESSAGE), first);
    mm_scan_plainly = false;
}

static void test_without_pagemap_scan(void **state)
{
    in_every_set(by_old_kernel);
}

static struct held settled(void)
{
    for (int i = 0; i < 50; i++) {
        decode(MESSAGE);
        virtual_alloc(NULL, 0x10000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        create_event(NULL, 0, 0, NULL);
        reset();
    }
    return held_now();
}

static void grows_not(void)
{
    struct held before, after;
    snapshot();
    before = settled();
    for (int i = 0; i < 19; i++)
        after = settled();
    assert_int_equal(after.fds, before.fds);
    if (HELD_IS_EXACT) {
        assert_int_equal(after.maps, before.maps);
        assert_true(after.heap <= before.heap + 1024);
    }
}

static void test_nothing_grows(void **state)
{
    in_every_set(grows_not);
}

/* The option lies a gibibyte behind the DLL: nothing does, the shadow of a sanitizer neither. */
static void crash(void *unused)
{
    decode("N\4leak", 6);
    decode("S\377\377\377\17\1", 6);
}

static void crashes(void)
{
    struct peldr_exception exception;
    uint32_t first;
    ke_fault_install(); /* in front of cmocka's handler, which each test gets anew */
    snapshot();
    first = decode(MESSAGE);
    for (int i = 0; i < 100; i++) {
        reset();
        assert_int_equal(peldr_call_guarded(crash, NULL, &exception), 1);
        assert_int_equal(exception.code, 0xC0000005);
        assert_non_null(strstr(exception.where, "notes.dll+0x"));
    }
    reset();
    assert_int_equal(decode(MESSAGE), first);
}

static void test_crash_and_go_back(void **state)
{
    in_every_set(crashes);
}

/* A snapshot of a snapshot: the later one counts. */
static void again(void)
{
    uint32_t first, second;
    snapshot();
    first = decode(MESSAGE);
    snapshot();
    second = decode(MESSAGE);
    assert_int_not_equal(first, second);
    for (int i = 0; i < 3; i++) {
        reset();
        assert_int_equal(decode(MESSAGE), second);
    }
    snapshot();
    assert_int_not_equal(decode(MESSAGE), second);
    reset();
    assert_int_not_equal(decode(MESSAGE), second);
}

static void test_later_snapshot_counts(void **state)
{
    in_every_set(again);
}

/* ---- pages and allocations ---- */

static uint32_t protect_of(const void *at)
{
    struct peldr_region region;
    assert_int_equal(peldr_query((uintptr_t)at, &region), 0);
    return region.protect;
}

static uint64_t private_pages(void)
{
    struct peldr_region region;
    uint32_t cursor = 0;
    uint64_t pages = 0;
    while (peldr_next_region(dll, &cursor, &region) == 1)
        pages += region.pages_private;
    return pages;
}

/* The first page of the first region with that protection. */
static void *page_with(uint32_t protect)
{
    struct peldr_region region;
    uint32_t cursor = 0;
    while (peldr_next_region(dll, &cursor, &region) == 1)
        if (region.protect == protect)
            return (void *)(uintptr_t)region.address;
    fail_msg("%s: no page has protection 0x%x", set, protect);
    return NULL;
}

static void pages_of_image(void)
{
    uint64_t before;
    uint32_t old, protect;
    char *code = page_with(PAGE_EXECUTE_READ), was = code[100], *data;
    decode(MESSAGE);
    data = page_with(PAGE_READWRITE);
    before = private_pages();
    snapshot();
    assert_int_equal(private_pages(), before);
    assert_int_equal(protect_of(data), PAGE_READWRITE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(virtual_protect(code, 1, PAGE_EXECUTE_READWRITE, &old), 1);
        assert_int_equal(old, PAGE_EXECUTE_READ);
        code[100] = (char)(was + 1);
        assert_int_equal(virtual_protect(data, 1, PAGE_NOACCESS, &old), 1);
        assert_int_equal(private_pages(), before + 1);
        reset();
        assert_int_equal(code[100], was);
        protect = protect_of(code);
        assert_int_equal(protect, PAGE_EXECUTE_READ);
        assert_int_equal(protect_of(data), PAGE_READWRITE);
        assert_int_equal(private_pages(), before);
    }
    decode(MESSAGE);
}

static void test_pages_of_an_image(void **state)
{
    in_every_set(pages_of_image);
}

static void allocations(void)
{
    char *kept = virtual_alloc(NULL, 0x4000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), *fresh;
    char *freed = virtual_alloc(NULL, 0x20000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    char *partly = virtual_alloc(NULL, 0x8000, MEM_RESERVE, PAGE_READWRITE);
    struct peldr_region region;
    uint32_t old;
    virtual_alloc(partly, 0x2000, MEM_COMMIT, PAGE_READWRITE);
    kept[5] = 'k';
    freed[0x1F000] = 'f';
    partly[1] = 'p';
    snapshot();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kept[5], 'k');
        assert_int_equal(kept[0x3000], 0);
        assert_int_equal(freed[0x1F000], 'f');
        assert_int_equal(freed[0], 0);
        assert_int_equal(partly[1], 'p');
        kept[5] = 1;
        kept[0x3000] = 2;
        freed[0x1F000] = 3;
        assert_int_equal(virtual_free(freed, 0, MEM_RELEASE), 1);
        assert_int_equal(virtual_free(partly, 0x1000, MEM_DECOMMIT), 1);
        virtual_alloc(partly + 0x4000, 0x1000, MEM_COMMIT, PAGE_READWRITE);
        partly[0x4000] = 4;
        virtual_protect(kept + 0x1000, 0x1000, PAGE_READONLY, &old);
        fresh = virtual_alloc(NULL, 0x30000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        fresh[0] = 5;
        reset();
        assert_int_equal(peldr_query((uintptr_t)fresh, &region), 0);
        assert_true(region.allocation_base != (uintptr_t)fresh || region.type != MEM_PRIVATE);
        assert_int_equal(protect_of(kept + 0x1000), PAGE_READWRITE);
        assert_int_equal(peldr_query((uintptr_t)partly + 0x4000, &region), 0);
        assert_int_equal(region.state, MEM_RESERVE);
    }
    peldr_snapshot_drop();
    virtual_free(kept, 0, MEM_RELEASE);
    virtual_free(freed, 0, MEM_RELEASE);
    virtual_free(partly, 0, MEM_RELEASE);
}

static void test_allocations(void **state)
{
    in_every_set(allocations);
}

/* What an image frees before it is put back is nobody else's meanwhile: here of 64 MiB that the
 * host takes, first where that was. */
static void freed_memory(void)
{
    enum { BLOCKS = 256, SIZE = 0x40000 };
    static void *taken[BLOCKS];
    char *freed = virtual_alloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    char *large = crt_malloc(3000000);
    struct peldr_region region;
    size_t maps = 0;
    freed[SIZE - 1] = 'f';
    large[2999999] = 'l';
    snapshot();
    for (int round = 0; round < 4; round++) {
        freed[0] = 1;
        large[0] = 2;
        assert_int_equal(virtual_free(freed, 0, MEM_RELEASE), 1);
        crt_free(large);
        assert_int_equal(peldr_query((uintptr_t)freed, &region), 0);
        assert_int_equal(region.state, MEM_FREE);
        if (round % 2)
            assert_ptr_equal(virtual_alloc(freed + 0x10000, 0x10000, MEM_RESERVE, PAGE_NOACCESS),
                             freed + 0x10000);
        for (int i = 0; i < BLOCKS; i++) {
            taken[i] = mmap(i ? NULL : freed, SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            assert_ptr_not_equal(taken[i], MAP_FAILED);
            *(char *)taken[i] = 'h';
        }
        reset();
        assert_int_equal(freed[SIZE - 1], 'f');
        assert_int_equal(freed[0], 0);
        assert_int_equal(large[2999999], 'l');
        for (int i = 0; i < BLOCKS; i++) {
            assert_int_equal(*(char *)taken[i], 'h');
            munmap(taken[i], SIZE);
        }
        if (round == 0)
            maps = held_now().maps;
        else if (HELD_IS_EXACT)
            assert_int_equal(held_now().maps, maps);
    }
    virtual_free(freed, 0, MEM_RELEASE);
    peldr_snapshot_drop();
    assert_ptr_equal(mmap(freed, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), freed);
    munmap(freed, SIZE);
    crt_free(large);
}

static void test_freed_memory(void **state)
{
    in_every_set(freed_memory);
}

/* ---- heaps ---- */

static void heap_blocks(void)
{
    void *heap = process_heap();
    char *kept = heap_alloc(heap, 0, 100), *freed = heap_alloc(heap, 0, 5000);
    char *grown = heap_alloc(heap, 0, 200000), *large = crt_malloc(50000000), *other;
    void *private_heap = heap_create(0, 0, 0);
    char *of_private = heap_alloc(private_heap, 0, 1000);
    memset(kept, 'k', 100);
    memset(freed, 'f', 5000);
    memset(grown, 'g', 200000);
    memset(of_private, 'p', 1000);
    large[49999999] = 'l';
    snapshot();
    for (int i = 0; i < 20; i++) {
        large[49999999] = 'x';
        for (int j = 0; j < 100; j++)
            assert_non_null(heap_alloc(heap, 0, (size_t)j * 50));
        memset(kept, 0, 100);
        assert_int_equal(heap_free(heap, 0, freed), 1);
        assert_non_null(heap_realloc(heap, 0, grown, 400000));
        memset(of_private, 0, 1000);
        assert_int_equal(heap_free(private_heap, 0, of_private), 1);
        other = heap_alloc(heap_create(0, 0, 0x100000), 0, 100);
        assert_non_null(other);
        crt_free(large);
        other = crt_malloc(60000000);
        other[0] = 1;
        reset();
        assert_int_equal(large[49999999], 'l');
        assert_int_equal(large[0], 0);
        assert_int_equal(kept[0], 'k');
        assert_int_equal(freed[4999], 'f');
        assert_int_equal(grown[199999], 'g');
        assert_int_equal(of_private[999], 'p');
        assert_int_equal((int)heap_size(heap, 0, freed), 5000);
        assert_int_equal((int)heap_size(heap, 0, grown), 200000);
    }
    crt_free(large);
    assert_int_equal(heap_free(heap, 0, kept), 1);
    assert_int_equal(heap_free(heap, 0, freed), 1);
    assert_int_equal(heap_free(heap, 0, grown), 1);
    reset();
    assert_int_equal(grown[0], 'g');
}

static void test_heap_blocks(void **state)
{
    in_every_set(heap_blocks);
}

/* What is no block, or none any more, ends the call as it ends a process of Windows. */
static void free_twice(void *block)
{
    crt_free(block);
    crt_free(block);
}

static void corruption(void)
{
    struct peldr_exception exception;
    void *block = crt_malloc(50);
    ke_fault_install();
    snapshot();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(peldr_call_guarded(free_twice, block, &exception), 1);
        assert_int_equal(exception.code, 0xC0000374);
        reset();
    }
    crt_free(block);
}

static void test_free_twice(void **state)
{
    in_every_set(corruption);
}

/* ---- the rest of a process ---- */

static void static_tls(void)
{
    peldr_module *tls = must(peldr_open(path_of("tls.dll"), 0), "tls.dll");
    int(PELDR_CDECL * get)(void) = must(peldr_sym(tls, "tls_get"), "tls_get");
    int(PELDR_CDECL * put)(int) = must(peldr_sym(tls, "tls_set"), "tls_set");
    int(PELDR_CDECL * sum)(void) = must(peldr_sym(tls, "tls_zero_sum"), "tls_zero_sum");
    put(8);
    snapshot();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(get(), 8);
        assert_int_equal(sum(), 0);
        put(i);
        reset();
    }
    peldr_snapshot_drop();
    peldr_close(tls);
}

static void test_static_tls(void **state)
{
    in_every_set(static_tls);
}

/* Pages with fixups are private before the snapshot, and stay it for who asks. */
static void relocated(void)
{
    char path[SAMPLE_PATH_MAX];
    peldr_module *left = must(peldr_open(path_of("left.dll"), 0), "left.dll"), *right;
    struct peldr_relocation relocation;
    struct peldr_region region;
    uint64_t before = 0, after = 0;
    uint32_t cursor = 0;
    snprintf(path, sizeof path, "%s", path_of("right.dll"));
    right = must(peldr_open(path, 0), path);
    assert_int_equal(peldr_relocation(right, &relocation), 0);
    assert_int_not_equal(relocation.actual_base, relocation.preferred_base);
    int(PELDR_CDECL * value)(void) = must(peldr_sym(right, "side_value"), "side_value");
    while (peldr_next_region(right, &cursor, &region) == 1)
        before += region.pages_private;
    snapshot();
    assert_int_equal(value(), 2);
    reset();
    assert_int_equal(value(), 2);
    for (cursor = 0; peldr_next_region(right, &cursor, &region) == 1;)
        after += region.pages_private;
    assert_int_equal(after, before);
    peldr_snapshot_drop();
    peldr_close(right);
    peldr_close(left);
}

static void test_relocated_image(void **state)
{
    in_every_set(relocated);
}

static void thread_state(void)
{
    uint32_t slot = tls_alloc();
    int first;
    tls_set(slot, &first);
    set_last_error(77);
    snapshot();
    first = crt_rand();
    for (int i = 0; i < 50; i++) {
        uint32_t other = tls_alloc();
        assert_int_equal(other, slot + 1);
        tls_set(slot, NULL);
        tls_set(other, &other);
        set_last_error(5);
        reset();
        assert_int_equal(get_last_error(), 77);
        assert_ptr_equal(tls_get(slot), &first);
        assert_null(tls_get(slot + 1));
        assert_int_equal(crt_rand(), first);
        reset();
    }
}

static void test_thread_state(void **state)
{
    in_every_set(thread_state);
}

static void handles(void)
{
    void *kept = create_event(NULL, 1, 1, NULL), *first;
    snapshot();
    first = create_event(NULL, 1, 0, NULL);
    for (int i = 0; i < 10; i++) {
        close_handle(kept);
        reset();
        assert_int_equal(wait_for(kept, 0), 0);
        assert_int_equal(close_handle(first), 0);
        assert_ptr_equal(create_event(NULL, 1, 0, NULL), first);
    }
    close_handle(kept);
}

static void test_handles(void **state)
{
    in_every_set(handles);
}

static void modules(void)
{
    char path[SAMPLE_PATH_MAX];
    struct peldr_module_info info;
    void *filter;
    snprintf(path, sizeof path, "%s", path_of("basic.dll"));
    filter = set_filter(NULL);
    snapshot();
    for (int i = 0; i < 20; i++) {
        must(peldr_open(path, 0), path);
        must(peldr_open(path_of("notes.dll"), 0), "notes.dll again");
        must(peldr_open(path, PELDR_AS_DATAFILE), path);
        set_filter((void *)(uintptr_t)0x1234);
        assert_non_null(get_module("basic.dll"));
        reset();
        assert_null(get_module("basic.dll"));
        assert_int_equal(peldr_module_info(dll, &info), 0);
        assert_int_equal(info.references, 1);
        assert_ptr_equal(set_filter(filter), filter);
    }
}

static void test_modules(void **state)
{
    in_every_set(modules);
}

/* A module that is gone does not come back; everything else goes on. */
static void gone(void)
{
    uint32_t first;
    peldr_module *other = must(peldr_open(path_of("basic.dll"), 0), "basic.dll");
    snapshot();
    first = decode(MESSAGE);
    reset();
    peldr_close(other);
    assert_int_equal(peldr_reset(), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_DLL_NOT_FOUND);
    assert_non_null(strstr(peldr_error(), "unloaded after the snapshot"));
    assert_int_equal(decode(MESSAGE), first);
    assert_int_not_equal(decode(MESSAGE), first);
    snapshot();
    first = decode(MESSAGE);
    reset();
    assert_int_equal(decode(MESSAGE), first);
}

static void test_module_that_went(void **state)
{
    in_every_set(gone);
}

static void test_without_snapshot(void **state)
{
    peldr_snapshot_drop();
    assert_int_equal(peldr_reset(), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_INVALID_PARAMETER);
    assert_non_null(strstr(peldr_error(), "no snapshot"));
}

/* ---- threads ---- */

static void *(PELDR_WINAPI *create_thread)(void *security, size_t stack,
                                           uint32_t(PELDR_WINAPI *start)(void *), void *parameter,
                                           uint32_t flags, uint32_t *id);

static uint32_t PELDR_WINAPI of_image(void *event)
{
    crt_free(crt_malloc(1000));
    if (event)
        wait_for(event, 0xFFFFFFFF);
    return 0;
}

/* None may live when a snapshot is taken or put back; those in between are nobody's business. */
static void threads_of_images(void)
{
    void *event, *thread;
    int(PELDR_WINAPI * set_event)(void *);
    uint32_t first;
    void *found = must(peldr_sym(kernel32, "CreateThread"), "CreateThread");
    memcpy(&create_thread, &found, sizeof(found));
    found = must(peldr_sym(kernel32, "SetEvent"), "SetEvent");
    memcpy(&set_event, &found, sizeof(found));
    event = create_event(NULL, 1, 0, NULL);
    thread = must(create_thread(NULL, 0, of_image, event, 0, NULL), "thread");
    assert_int_equal(peldr_snapshot(), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_NOT_SUPPORTED);
    assert_int_equal(peldr_reset(), -1);
    set_event(event);
    assert_int_equal(wait_for(thread, 10000), 0);
    snapshot();
    first = decode(MESSAGE);
    for (int i = 0; i < 10; i++) {
        void *passing = create_thread(NULL, 0, of_image, NULL, 0, NULL);
        assert_int_equal(wait_for(passing, 10000), 0);
        reset();
        assert_int_equal(decode(MESSAGE), first);
    }
    close_handle(thread);
    close_handle(event);
}

static void test_threads_of_images(void **state)
{
    in_every_set(threads_of_images);
}

static pthread_barrier_t barrier;

static void *attached(void *unused)
{
    intptr_t outcome;
    peldr_attach_thread();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    outcome = peldr_reset();
    if (outcome == -1 && !strstr(peldr_error(), "another thread"))
        outcome = 1;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return (void *)outcome;
}

static void with_threads(void)
{
    pthread_t thread;
    void *outcome;
    uint32_t first;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, attached, NULL);
    pthread_barrier_wait(&barrier);
    snapshot();
    first = decode(MESSAGE);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* it has tried in vain */
    reset();
    assert_int_equal(decode(MESSAGE), first);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &outcome);
    assert_int_equal((intptr_t)outcome, -1);
    assert_int_equal(peldr_reset(), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_NOT_SUPPORTED);
    snapshot();
    reset();
    pthread_barrier_destroy(&barrier);
}

static void test_threads(void **state)
{
    in_every_set(with_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_snapshot),
        cmocka_unit_test(test_every_call_is_the_first),
        cmocka_unit_test(test_without_pagemap_scan),
        cmocka_unit_test(test_nothing_grows),
        cmocka_unit_test(test_crash_and_go_back),
        cmocka_unit_test(test_later_snapshot_counts),
        cmocka_unit_test(test_pages_of_an_image),
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_freed_memory),
        cmocka_unit_test(test_heap_blocks),
        cmocka_unit_test(test_free_twice),
        cmocka_unit_test(test_static_tls),
        cmocka_unit_test(test_relocated_image),
        cmocka_unit_test(test_thread_state),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_module_that_went),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_of_images),
    };
    return cmocka_run_group_tests_name("sample_snapshot", tests, NULL, NULL);
}
