/*
 * Heaps, LocalAlloc and GlobalAlloc as Microsoft documents them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/mm/view.h"
#include "loader/win32/heap.h"
#include "tests/unit/win32_fn.h"

K32(GetProcessHeap, HANDLE, void)
K32(HeapCreate, HANDLE, DWORD options, SIZE_T initial, SIZE_T maximum)
K32(HeapDestroy, BOOL, HANDLE heap)
K32(HeapAlloc, void *, HANDLE heap, DWORD flags, SIZE_T size)
K32(HeapReAlloc, void *, HANDLE heap, DWORD flags, void *memory, SIZE_T size)
K32(HeapFree, BOOL, HANDLE heap, DWORD flags, void *memory)
K32(HeapSize, SIZE_T, HANDLE heap, DWORD flags, const void *memory)
K32(HeapValidate, BOOL, HANDLE heap, DWORD flags, const void *memory)
K32(GetProcessHeaps, DWORD, DWORD count, HANDLE *heaps)
K32(LocalAlloc, HLOCAL, UINT flags, SIZE_T size)
K32(LocalFree, HLOCAL, HLOCAL memory)
K32(LocalReAlloc, HLOCAL, HLOCAL memory, SIZE_T size, UINT flags)
K32(LocalSize, SIZE_T, HLOCAL memory)
K32(GlobalAlloc, HGLOBAL, UINT flags, SIZE_T size)
K32(GlobalFree, HGLOBAL, HGLOBAL memory)
K32(GlobalReAlloc, HGLOBAL, HGLOBAL memory, SIZE_T size, UINT flags)
K32(GlobalLock, void *, HGLOBAL memory)
K32(GlobalUnlock, BOOL, HGLOBAL memory)
K32(GlobalFlags, UINT, HGLOBAL memory)
K32(GlobalSize, SIZE_T, HGLOBAL memory)

enum { GMEM_MOVEABLE = 2, GMEM_ZEROINIT = 0x40, GMEM_DISCARDED = 0x4000 };

/* HeapSize is what was asked for, not what the allocator rounded it up to. */
static void test_size_is_the_requested_one(void **state)
{
    HANDLE heap = GetProcessHeap();
    static const SIZE_T sizes[] = {0, 1, 7, 13, 24, 1000, 123457};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        void *memory = HeapAlloc(heap, 0, sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (2 * sizeof(void *)), 0);
        assert_int_equal(HeapSize(heap, 0, memory), sizes[i]);
        assert_true(HeapValidate(heap, 0, memory));
        assert_true(HeapFree(heap, 0, memory));
    }
}

static void test_zero_memory_covers_growth(void **state)
{
    HANDLE heap = GetProcessHeap();
    unsigned char *memory = HeapAlloc(heap, 0, 4096);
    memset(memory, 0xAA, 4096);
    memory = HeapReAlloc(heap, 0, memory, 16);
    memory = HeapReAlloc(heap, HEAP_ZERO_MEMORY, memory, 4096);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(memory[i], i < 16 ? 0xAA : 0);
    assert_true(HeapFree(heap, 0, memory));
}

static void test_in_place_only(void **state)
{
    HANDLE heap = GetProcessHeap();
    void *memory = HeapAlloc(heap, 0, 64);
    assert_ptr_equal(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, memory, 32), memory);
    assert_int_equal(HeapSize(heap, 0, memory), 32);
    assert_null(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, memory, 1 << 20));
    assert_int_equal(HeapSize(heap, 0, memory), 32);
    assert_true(HeapFree(heap, 0, memory));
}

static void test_foreign_memory_is_refused(void **state)
{
    HANDLE heap = GetProcessHeap(), other = HeapCreate(0, 0, 0);
    void *memory = HeapAlloc(other, 0, 10);
    assert_fails(HeapFree(heap, 0, memory), ERROR_INVALID_PARAMETER);
    assert_fails(HeapReAlloc(heap, 0, memory, 20), ERROR_INVALID_PARAMETER);
    assert_int_equal(HeapSize(heap, 0, memory), (SIZE_T)-1);
    assert_false(HeapValidate(heap, 0, memory));
    assert_true(HeapFree(heap, 0, NULL));
    assert_true(HeapDestroy(other));
}

static void test_fixed_heap_has_a_limit(void **state)
{
    HANDLE heap = HeapCreate(0, 0, 0x10000);
    void *first = HeapAlloc(heap, 0, 0xC000);
    assert_non_null(first);
    assert_fails(HeapAlloc(heap, 0, 0xC000), ERROR_NOT_ENOUGH_MEMORY);
    assert_true(HeapFree(heap, 0, first));
    assert_non_null(HeapAlloc(heap, 0, 0xC000));
    assert_true(HeapDestroy(heap)); /* with a live block */
    assert_fails(HeapCreate(0, 0x20000, 0x10000), ERROR_INVALID_PARAMETER);
}

static void test_executable_heap(void **state)
{
    struct mm_region region;
    HANDLE heap = HeapCreate(HEAP_CREATE_ENABLE_EXECUTE, 0, 0);
    void *memory = HeapAlloc(heap, 0, 100);
    assert_non_null(memory);
    assert_int_equal(mm_query((uintptr_t)memory, &region), STATUS_SUCCESS);
    assert_int_equal(region.protect, PAGE_EXECUTE_READWRITE);
    assert_true(HeapDestroy(heap));
}

static void test_heaps_are_listed(void **state)
{
    HANDLE heap = HeapCreate(0, 0, 0), list[16];
    DWORD count = GetProcessHeaps(16, list), found = 0;
    assert_in_range(count, 2, 16);
    for (DWORD i = 0; i < count; i++)
        found += list[i] == heap || list[i] == GetProcessHeap();
    assert_int_equal(found, 2);
    assert_true(HeapDestroy(heap));
    assert_fails(HeapDestroy(GetProcessHeap()), ERROR_INVALID_HANDLE);
}

static void test_fixed_local_memory_is_its_address(void **state)
{
    char *memory = LocalAlloc(GMEM_ZEROINIT, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(memory[i], 0);
    assert_int_equal(LocalSize(memory), 100);
    memory[99] = 7;
    memory = LocalReAlloc(memory, 5000, GMEM_MOVEABLE | GMEM_ZEROINIT);
    assert_int_equal(memory[99], 7);
    assert_int_equal(memory[4999], 0);
    assert_int_equal(LocalSize(memory), 5000);
    assert_null(LocalFree(memory));
    assert_null(LocalFree(NULL));
}

static void test_movable_memory_is_locked(void **state)
{
    HGLOBAL handle = GlobalAlloc(GMEM_MOVEABLE | GMEM_ZEROINIT, 10);
    char *memory = GlobalLock(handle);
    assert_non_null(memory);
    assert_ptr_not_equal(memory, handle);
    assert_int_equal(GlobalFlags(handle) & 0xFF, 1);
    assert_ptr_equal(GlobalLock(handle), memory);
    strcpy(memory, "hello");
    assert_true(GlobalUnlock(handle));
    /* The last unlock returns FALSE and NO_ERROR; one more is an error. */
    assert_fails(GlobalUnlock(handle), ERROR_SUCCESS);
    assert_fails(GlobalUnlock(handle), ERROR_NOT_LOCKED);
    handle = GlobalReAlloc(handle, 4000, GMEM_ZEROINIT);
    assert_int_equal(GlobalSize(handle), 4000);
    assert_string_equal(GlobalLock(handle), "hello");
    assert_null(GlobalFree(handle));
}

static void test_discarded_memory(void **state)
{
    HGLOBAL handle = GlobalAlloc(GMEM_MOVEABLE, 0);
    assert_non_null(handle);
    assert_int_equal(GlobalFlags(handle) & GMEM_DISCARDED, GMEM_DISCARDED);
    assert_null(GlobalLock(handle));
    assert_int_equal(GlobalSize(handle), 0);
    assert_null(GlobalFree(handle));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_is_the_requested_one),
        cmocka_unit_test(test_zero_memory_covers_growth),
        cmocka_unit_test(test_in_place_only),
        cmocka_unit_test(test_foreign_memory_is_refused),
        cmocka_unit_test(test_fixed_heap_has_a_limit),
        cmocka_unit_test(test_executable_heap),
        cmocka_unit_test(test_heaps_are_listed),
        cmocka_unit_test(test_fixed_local_memory_is_its_address),
        cmocka_unit_test(test_movable_memory_is_locked),
        cmocka_unit_test(test_discarded_memory),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
