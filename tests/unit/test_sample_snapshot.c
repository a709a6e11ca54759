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

static void crash(void *unused)
{
    decode("N\4leak", 6);
    decode("S\377\377\377\3\1", 6);
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

/* ---- the rest of a process ---- */

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
        cmocka_unit_test(test_thread_state),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_module_that_went),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("sample_snapshot", tests, NULL, NULL);
}
