/*
 * Guard pages and executing what is not executable, below the exceptions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/mm/view.h"
#include "tests/unit/status.h"

#define PAGE 0x1000u

static uint64_t allocate(uint64_t pages, uint32_t protect)
{
    uint64_t base = 0, size = pages * PAGE;
    assert_status(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, protect, NULL), STATUS_SUCCESS);
    return base;
}

static uint32_t protect_of(uint64_t address)
{
    struct mm_region region;
    assert_status(mm_query(address, &region), STATUS_SUCCESS);
    return region.protect;
}

static void a_guard_is_consumed_once_and_for_one_page(void **state)
{
    uint64_t base = allocate(3, PAGE_READWRITE | PAGE_GUARD);
    assert_int_equal(protect_of(base), PAGE_READWRITE | PAGE_GUARD);
    assert_true(mm_guard_consume(base + PAGE + 5));
    assert_false(mm_guard_consume(base + PAGE + 5));
    assert_int_equal(protect_of(base), PAGE_READWRITE | PAGE_GUARD);
    assert_int_equal(protect_of(base + PAGE), PAGE_READWRITE);
    assert_int_equal(protect_of(base + 2 * PAGE), PAGE_READWRITE | PAGE_GUARD);
    *(volatile char *)(uintptr_t)(base + PAGE) = 1;
    mm_free(base, 0, MEM_RELEASE, NULL);
}

static void other_pages_have_no_guard(void **state)
{
    uint64_t base = allocate(1, PAGE_NOACCESS), at;
    assert_false(mm_guard_consume(base));
    assert_false(mm_guard_consume((uintptr_t)&at));
    assert_false(mm_guard_consume(0));
    mm_free(base, 0, MEM_RELEASE, NULL);
    assert_false(mm_guard_consume(base));
}

static void a_guard_is_opened_as_a_whole(void **state)
{
    uint64_t base = allocate(4, PAGE_READWRITE), at = base + PAGE, size = 2 * PAGE;
    uint32_t old;
    assert_status(mm_protect(&at, &size, PAGE_READWRITE | PAGE_GUARD, &old, NULL), STATUS_SUCCESS);
    assert_int_equal(protect_of(base + PAGE), PAGE_READWRITE | PAGE_GUARD);
    mm_guard_open(base + PAGE, 2 * PAGE);
    assert_int_equal(protect_of(base + PAGE), PAGE_READWRITE);
    ((volatile char *)(uintptr_t)base)[PAGE] = 1;
    ((volatile char *)(uintptr_t)base)[2 * PAGE] = 1;
    mm_free(base, 0, MEM_RELEASE, NULL);
}

static void code_in_data_runs_and_the_protection_stays(void **state)
{
    uint64_t base = allocate(1, PAGE_READWRITE);
    *(volatile uint8_t *)(uintptr_t)base = 0xC3;
    assert_true(mm_execute_anyway(base));
    assert_int_equal(protect_of(base), PAGE_READWRITE);
    ((void (*)(void))(uintptr_t)base)();
    mm_free(base, 0, MEM_RELEASE, NULL);
}

static void what_cannot_be_read_is_not_executed(void **state)
{
    uint64_t base = allocate(1, PAGE_NOACCESS);
    assert_false(mm_execute_anyway(base));
    assert_false(mm_execute_anyway(0x10));
    mm_free(base, 0, MEM_RELEASE, NULL);
    assert_false(mm_execute_anyway(base));
    base = allocate(1, PAGE_EXECUTE_READ);
    assert_false(mm_execute_anyway(base)); /* it faulted for another reason */
    mm_free(base, 0, MEM_RELEASE, NULL);
    base = allocate(1, PAGE_READWRITE | PAGE_GUARD);
    assert_false(mm_execute_anyway(base));
    mm_free(base, 0, MEM_RELEASE, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guard_is_consumed_once_and_for_one_page),
        cmocka_unit_test(other_pages_have_no_guard),
        cmocka_unit_test(a_guard_is_opened_as_a_whole),
        cmocka_unit_test(code_in_data_runs_and_the_protection_stays),
        cmocka_unit_test(what_cannot_be_read_is_not_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
