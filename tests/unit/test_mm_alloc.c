/*
 * VirtualAlloc, VirtualFree and VirtualProtect on private memory (facts 4.5), and mirrored memory.
 */
#include "tests/unit/mm_test.h"

static uint64_t alloc(uint64_t base, uint64_t size, uint32_t type, uint32_t protect)
{
    struct pe_error err = {0};

    if (!nt_ok(mm_alloc(&base, &size, type, protect, &err)))
        fail_msg("%s", err.text);
    return base;
}

static nt_status try_alloc(uint64_t base, uint64_t size, uint32_t type, uint32_t protect)
{
    return mm_alloc(&base, &size, type, protect, NULL);
}

static nt_status try_protect(uint64_t base, uint64_t size, uint32_t protect)
{
    uint32_t old;

    return mm_protect(&base, &size, protect, &old, NULL);
}

static void release(uint64_t base)
{
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
}

static void reserve_and_commit(void **state)
{
    uint64_t base = 0, size = 0x12345;
    struct mm_region region;

    assert_status(mm_alloc(&base, &size, MEM_RESERVE, PAGE_READWRITE, NULL), STATUS_SUCCESS);
    assert_int_equal(base % 0x10000, 0);
    assert_int_equal(size, 0x13000);
    region = test_query(base + 0x1234);
    assert_int_equal(region.state, MEM_RESERVE);
    assert_int_equal(region.protect, 0);
    assert_int_equal(region.type, MEM_PRIVATE);
    assert_int_equal(region.allocation_base, base);
    assert_int_equal(region.allocation_protect, PAGE_READWRITE);
    assert_int_equal(region.size, 0x12000);
    assert_false(test_readable(test_ptr(base)));
    /* Commit rounds outwards to pages and answers what it did. */
    uint64_t at = base + 0x2FFF, bytes = 2;
    assert_status(mm_alloc(&at, &bytes, MEM_COMMIT, PAGE_READONLY, NULL), STATUS_SUCCESS);
    assert_int_equal(at, base + 0x2000);
    assert_int_equal(bytes, 0x2000);
    region = test_query(base + 0x2000);
    assert_int_equal(region.size, 0x2000);
    assert_int_equal(region.protect, PAGE_READONLY);
    assert_int_equal(region.state, MEM_COMMIT);
    assert_int_equal(region.allocation_protect, PAGE_READWRITE);
    assert_int_equal(test_query(base).size, 0x2000);
    assert_false(test_readable(test_ptr(base + 0x1FFF)));
    assert_true(test_readable(test_ptr(base + 0x2000)));
    assert_false(test_writable(test_ptr(base + 0x2000)));
    release(base);
    assert_int_equal(test_query(base).state, MEM_FREE);
}

/* The base is rounded down to 64 KiB, the end up to a page. */
static void wanted_base(void **state)
{
    uint64_t base = 0x48011800, size = 0x1000;

    assert_status(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL),
                  STATUS_SUCCESS);
    assert_int_equal(base, 0x48010000);
    assert_int_equal(size, 0x3000);
    assert_status(try_alloc(0x48012000, 0x1000, MEM_RESERVE, PAGE_READWRITE),
                  STATUS_CONFLICTING_ADDRESSES);
    release(base);
}

/* MEM_COMMIT without an address reserves as well. */
static void commit_alone(void **state)
{
    uint64_t base = alloc(0, 0x1000, MEM_COMMIT, PAGE_READWRITE);

    *(uint8_t *)test_ptr(base) = 1;
    assert_int_equal(test_query(base).state, MEM_COMMIT);
    release(base);
}

static void recommit(void **state)
{
    uint64_t base = alloc(0, 0x3000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    uint8_t *bytes = test_ptr(base);

    bytes[0x1000] = 7;
    /* Committing again keeps the content and takes the new protection. */
    alloc(base + 0x1000, 0x1000, MEM_COMMIT, PAGE_READONLY);
    assert_int_equal(bytes[0x1000], 7);
    assert_int_equal(test_query(base + 0x1000).protect, PAGE_READONLY);
    /* Decommitted memory is reserved and comes back as zeroes. */
    assert_status(mm_free(base + 0x1234, 1, MEM_DECOMMIT, NULL), STATUS_SUCCESS);
    assert_int_equal(test_query(base + 0x1000).state, MEM_RESERVE);
    assert_int_equal(test_query(base + 0x1000).size, 0x1000);
    assert_false(test_readable(bytes + 0x1000));
    alloc(base + 0x1000, 0x1000, MEM_COMMIT, PAGE_READWRITE);
    assert_int_equal(bytes[0x1000], 0);
    /* Size 0 decommits everything, from the base only. */
    assert_status(mm_free(base + 0x1000, 0, MEM_DECOMMIT, NULL), STATUS_FREE_VM_NOT_AT_BASE);
    assert_status(mm_free(base, 0, MEM_DECOMMIT, NULL), STATUS_SUCCESS);
    assert_int_equal(test_query(base).state, MEM_RESERVE);
    assert_int_equal(test_query(base).size, 0x3000);
    release(base);
}

static void refused_allocations(void **state)
{
    uint64_t base = alloc(0, 0x2000, MEM_RESERVE, PAGE_READWRITE);

    assert_status(try_alloc(0, 0, MEM_COMMIT, PAGE_READWRITE), STATUS_INVALID_PARAMETER);
    assert_status(try_alloc(0, 0x1000, 0, PAGE_READWRITE), STATUS_INVALID_PARAMETER);
    assert_status(try_alloc(0, 0x1000, MEM_RELEASE, PAGE_READWRITE), STATUS_INVALID_PARAMETER);
    assert_status(try_alloc(0, 0x1000, MEM_COMMIT, 0), STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_alloc(0, 0x1000, MEM_COMMIT, PAGE_READONLY | PAGE_READWRITE),
                  STATUS_INVALID_PAGE_PROTECTION);
    /* Private memory cannot be copy-on-write (facts 4.4). */
    assert_status(try_alloc(0, 0x1000, MEM_COMMIT, PAGE_WRITECOPY), STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_alloc(0, 0x1000, MEM_COMMIT, PAGE_EXECUTE_WRITECOPY),
                  STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_alloc(0x1000, 0x1000, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER);
    assert_status(try_alloc(UINT64_MAX - 0xFFF, 0x2000, MEM_RESERVE, PAGE_READWRITE),
                  STATUS_INVALID_PARAMETER);
    assert_status(try_alloc(0, UINT64_MAX, MEM_RESERVE, PAGE_READWRITE), STATUS_NO_MEMORY);
    /* Committing what nobody reserved, or past the end of what was. */
    assert_status(try_alloc(base + 0x1000, 0x2000, MEM_COMMIT, PAGE_READWRITE),
                  STATUS_CONFLICTING_ADDRESSES);
    release(base);
    assert_status(try_alloc(base, 0x1000, MEM_COMMIT, PAGE_READWRITE),
                  STATUS_CONFLICTING_ADDRESSES);
}

static void refused_frees(void **state)
{
    uint64_t base = alloc(0, 0x3000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    assert_status(mm_free(base, 0x1000, MEM_RELEASE, NULL), STATUS_INVALID_PARAMETER);
    assert_status(mm_free(base, 0, 0, NULL), STATUS_INVALID_PARAMETER);
    assert_status(mm_free(base, 0, MEM_RELEASE | MEM_DECOMMIT, NULL), STATUS_INVALID_PARAMETER);
    assert_status(mm_free(base + 0x1000, 0, MEM_RELEASE, NULL), STATUS_FREE_VM_NOT_AT_BASE);
    assert_status(mm_free(base + 0x1000, 0x3000, MEM_DECOMMIT, NULL), STATUS_UNABLE_TO_FREE_VM);
    assert_int_equal(test_query(base).size, 0x3000);
    assert_int_equal(test_query(base).state, MEM_COMMIT);
    release(base);
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_MEMORY_NOT_ALLOCATED);
    assert_status(mm_free(base, 0x1000, MEM_DECOMMIT, NULL), STATUS_MEMORY_NOT_ALLOCATED);
}

static void protect_private(void **state)
{
    uint64_t base = alloc(0, 0x4000, MEM_RESERVE, PAGE_NOACCESS), at, size;
    uint32_t old = 0;

    alloc(base, 0x3000, MEM_COMMIT, PAGE_READWRITE);
    at = base + 0x1FFF;
    size = 2;
    assert_status(mm_protect(&at, &size, PAGE_EXECUTE_READ, &old, NULL), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READWRITE);
    assert_int_equal(at, base + 0x1000);
    assert_int_equal(size, 0x2000);
    assert_string_equal(test_permissions(base + 0x1000), "r-xp");
    assert_int_equal(test_query(base).size, 0x1000);
    assert_int_equal(test_query(base + 0x1000).protect, PAGE_EXECUTE_READ);
    /* READWRITE is READWRITE here, unlike on image pages. */
    assert_status(try_protect(base, 0x1000, PAGE_EXECUTE_READWRITE), STATUS_SUCCESS);
    assert_int_equal(test_query(base).protect, PAGE_EXECUTE_READWRITE);
    assert_status(try_protect(base, 0x1000, PAGE_READWRITE | PAGE_GUARD), STATUS_SUCCESS);
    assert_int_equal(test_query(base).protect, PAGE_READWRITE | PAGE_GUARD);
    assert_false(test_readable(test_ptr(base)));
    assert_status(try_protect(base, 0x1000, PAGE_WRITECOPY), STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_protect(base, 0x1000, 0), STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_protect(base, 0x1000, PAGE_READONLY | PAGE_EXECUTE),
                  STATUS_INVALID_PAGE_PROTECTION);
    assert_status(try_protect(base + 0x2000, 0x2000, PAGE_READONLY), STATUS_NOT_COMMITTED);
    assert_status(try_protect(base, 0x5000, PAGE_READONLY), STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(nt_status_to_win32(STATUS_NOT_COMMITTED), 487);
    release(base);
    assert_status(try_protect(base, 0x1000, PAGE_READONLY), STATUS_CONFLICTING_ADDRESSES);
}

/* Images protect memory that they got from the heap. */
static void protect_host_memory(void **state)
{
    uint8_t *pages =
        mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t base = test_address(pages), size = 0x10;
    uint32_t old;

    assert_status(mm_protect(&base, &size, PAGE_EXECUTE_READ, &old, NULL), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READWRITE);
    assert_string_equal(test_permissions(base), "r-xp");
    assert_int_equal(test_query(base).protect, PAGE_EXECUTE_READ);
    /* The host's own code is none of the image's business. */
    assert_status(try_protect((uint64_t)(uintptr_t)&protect_host_memory, 1, PAGE_READONLY),
                  STATUS_ACCESS_DENIED);
    munmap(pages, 2 * TEST_PAGE);
}

static void below_a_limit(void **state)
{
    uint64_t base = 0, size = 0x100000;

    assert_status(mm_alloc_below(0x80000000, &base, &size, MEM_RESERVE, PAGE_READWRITE, NULL),
                  STATUS_SUCCESS);
    assert_true(base >= 0x10000 && base + size <= 0x80000000);
    assert_int_equal(base % 0x10000, 0);
    release(base);
    base = 0x7FFF0000;
    size = 0x20000;
    assert_status(mm_alloc_below(0x80000000, &base, &size, MEM_RESERVE, PAGE_READWRITE, NULL),
                  STATUS_INVALID_PARAMETER);
    base = 0;
    size = 0x90000000;
    assert_status(mm_alloc_below(0x80000000, &base, &size, MEM_RESERVE, PAGE_READWRITE, NULL),
                  STATUS_NO_MEMORY);
}

/* Reserving costs no memory, whatever the size. */
static void big_reservation(void **state)
{
    uint64_t size = TEST_64_BIT ? 0x1000000000 : 0x20000000;
    uint64_t base = alloc(0, size, MEM_RESERVE, PAGE_READWRITE);

    alloc(base + size / 2, 0x1000, MEM_COMMIT, PAGE_READWRITE);
    *(uint8_t *)test_ptr(base + size / 2) = 1;
    assert_int_equal(test_query(base).size, size / 2);
    assert_int_equal(test_query(base + size / 2 + 0x1000).size, size / 2 - 0x1000);
    release(base);
}

static void nothing_leaks(void **state)
{
    unsigned mappings, fds;

    release(alloc(0, 0x10000, MEM_RESERVE, PAGE_READWRITE));
    mappings = test_mapping_count();
    fds = test_fd_count();
    for (int i = 0; i < 1000; i++) {
        uint64_t base = alloc(0, 0x20000, MEM_RESERVE, PAGE_READWRITE);

        alloc(base, 0x5000, MEM_COMMIT, PAGE_READWRITE);
        assert_status(mm_free(base, 0x1000, MEM_DECOMMIT, NULL), STATUS_SUCCESS);
        release(base);
    }
    assert_int_equal(test_mapping_count(), mappings);
    assert_int_equal(test_fd_count(), fds);
}

/* KUSER_SHARED_DATA: written here, read there. */
static void mirror(void **state)
{
    struct mm_region region;
    uint64_t at = 0x49000000, size = 0x1000;
    void *writable = NULL;
    unsigned fds = test_fd_count();

    assert_status(mm_mirror_reserve(at, 0x1000, NULL), STATUS_SUCCESS);
    assert_false(test_readable(test_ptr(at)));
    assert_int_equal(test_query(at).protect, PAGE_NOACCESS);
    assert_status(mm_mirror_back(at, 0x1000, &writable, NULL), STATUS_SUCCESS);
    assert_int_equal(test_fd_count(), fds);
    *(uint32_t *)writable = 0x12345678;
    assert_false(test_readable(test_ptr(at)));
    assert_int_equal(test_query(at).protect, PAGE_NOACCESS);
    assert_status(try_protect(at, size, PAGE_READONLY), STATUS_SUCCESS);
    assert_int_equal(*(uint32_t *)test_ptr(at), 0x12345678);
    *(uint32_t *)writable = 5;
    assert_int_equal(*(uint32_t *)test_ptr(at), 5);
    region = test_query(at);
    assert_int_equal(region.type, MEM_PRIVATE);
    assert_int_equal(region.protect, PAGE_READONLY);
    assert_int_equal(region.allocation_base, at);
    assert_false(nt_ok(try_protect(at, size, PAGE_READWRITE)));
    assert_false(nt_ok(mm_free(at, 0, MEM_RELEASE, NULL)));
    assert_status(mm_mirror_reserve(at, 0x1000, NULL), STATUS_CONFLICTING_ADDRESSES);
}

/* However often a process reserves and frees, it stays in one part of its address space. */
static void reserving_for_ever(void **state)
{
    uint64_t held[16] = {0}, lowest = UINT64_MAX, highest = 0;

    for (unsigned i = 0; i < 16384; i++) {
        uint64_t size = 0x10000, *base = &held[i % 16];

        if (*base != 0)
            release(*base);
        *base = 0;
        assert_status(mm_alloc(base, &size, MEM_RESERVE, PAGE_NOACCESS, NULL), STATUS_SUCCESS);
        assert_int_equal(*base % 0x10000, 0);
        lowest = *base < lowest ? *base : lowest;
        highest = *base > highest ? *base : highest;
    }
    for (unsigned i = 0; i < 16; i++)
        release(held[i]);
    assert_true(highest - lowest < 0x10000000); /* of 0x40000000 that were reserved */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_and_commit),  cmocka_unit_test(wanted_base),
        cmocka_unit_test(commit_alone),        cmocka_unit_test(recommit),
        cmocka_unit_test(refused_allocations), cmocka_unit_test(refused_frees),
        cmocka_unit_test(protect_private),     cmocka_unit_test(protect_host_memory),
        cmocka_unit_test(below_a_limit),       cmocka_unit_test(big_reservation),
        cmocka_unit_test(nothing_leaks),       cmocka_unit_test(mirror),
        cmocka_unit_test(reserving_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
