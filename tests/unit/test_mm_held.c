/*
 * What is freed while there is a snapshot (held.h): free for images, taken for everybody else.
 */
#include "tests/unit/mm_test.h"

#include "loader/mm/snapshot.h"

enum { BLOCK = 0x10000, BLOCKS = 8 };

static uint64_t alloc(uint64_t base, uint64_t size)
{
    struct pe_error err = {0};

    if (!nt_ok(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &err)))
        fail_msg("%s", err.text);
    return base;
}

static nt_status try_alloc(uint64_t base, uint64_t size)
{
    return mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL);
}

static void release(uint64_t base)
{
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
}

static char *at(uint64_t address)
{
    return test_ptr(address);
}

static void snapshot(void)
{
    struct pe_error err = {0};

    if (!nt_ok(mm_snapshot_take(&err)))
        fail_msg("%s", err.text);
}

static void reset(void)
{
    struct pe_error err = {0};

    if (!nt_ok(mm_snapshot_reset(&err)))
        fail_msg("%s", err.text);
}

/* ---- the host ---- */

enum { HOST_BLOCK = 0x40000, HOST_BLOCKS = 256 }; /* 64 MiB */

static void *host[HOST_BLOCKS];

static void *host_map(uint64_t where, uint64_t size, int flags)
{
    return mmap(test_ptr(where), (size_t)size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

/* Memory wherever the kernel likes, and just there where some was freed. */
static void host_takes(uint64_t wanted)
{
    for (int i = 0; i < HOST_BLOCKS; i++) {
        host[i] = host_map(i == 0 ? wanted : 0, HOST_BLOCK, 0);
        assert_ptr_not_equal(host[i], MAP_FAILED);
        memset(host[i], 0xEE, 0x1000);
    }
}

static void host_gives(void)
{
    for (int i = 0; i < HOST_BLOCKS; i++)
        munmap(host[i], HOST_BLOCK);
}

static bool host_can_have(uint64_t where, uint64_t size)
{
    void *got = host_map(where, size, 0);
    bool same = got == test_ptr(where);

    assert_ptr_not_equal(got, MAP_FAILED);
    munmap(got, (size_t)size);
    return same;
}

/* ---- tests ---- */

static void the_host_gets_none_of_it(void **state)
{
    uint64_t kept[BLOCKS];

    for (int i = 0; i < BLOCKS; i++) {
        kept[i] = alloc(0, BLOCK * (i + 1));
        memset(at(kept[i]), 'a' + i, BLOCK / 2);
    }
    snapshot();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            at(kept[i])[5] = 'x';
            if (i % 3 != round)
                release(kept[i]);
        }
        host_takes(kept[(round + 1) % 3]);
        reset();
        for (int i = 0; i < BLOCKS; i++) {
            assert_int_equal(at(kept[i])[5], 'a' + i);
            assert_int_equal(at(kept[i])[BLOCK / 2 - 1], 'a' + i);
            assert_int_equal(at(kept[i])[BLOCK / 2], 0);
            assert_int_equal(test_query(kept[i]).allocation_base, kept[i]);
        }
        for (int i = 0; i < HOST_BLOCKS; i++)
            assert_int_equal(*(uint8_t *)host[i], 0xEE);
        host_gives();
    }
    mm_snapshot_drop();
    for (int i = 0; i < BLOCKS; i++)
        release(kept[i]);
}

static void an_image_finds_it_free(void **state)
{
    uint64_t base = alloc(0, 4 * BLOCK), size = 2 * BLOCK;
    struct mm_region region;

    at(base)[0] = 1;
    snapshot();
    release(base);
    region = test_query(base + 0x3000);
    assert_int_equal(region.state, MEM_FREE);
    assert_int_equal(region.protect, PAGE_NOACCESS);
    assert_int_equal(region.allocation_base, 0);
    assert_int_equal(region.type, 0);
    assert_true(region.size >= 4 * BLOCK - 0x3000);
    assert_false(test_readable(at(base)));
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_MEMORY_NOT_ALLOCATED);
    /* Nothing is to be committed in it, all of it can be reserved. */
    assert_status(mm_alloc(&base, &size, MEM_COMMIT, PAGE_READWRITE, NULL),
                  STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(alloc(base + BLOCK, BLOCK), base + BLOCK);
    assert_int_equal(at(base + BLOCK)[0], 0);
    assert_int_equal(test_query(base).size, BLOCK);
    assert_status(try_alloc(base, 2 * BLOCK), STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(test_query(base).size, BLOCK);
    assert_int_equal(alloc(base, BLOCK), base);
    at(base)[0] = 2;
    reset();
    assert_int_equal(at(base)[0], 1);
    assert_int_equal(test_query(base).size, 4 * BLOCK);
    mm_snapshot_drop();
    release(base);
}

/* Freed in whatever state it was, and with something else in its place or not. */
static void it_comes_back_as_it_was(void **state)
{
    enum { SIZE = 3 * BLOCK };
    uint64_t base = alloc(0, SIZE), part, bytes;
    uint32_t old;
    char name[64];

    memset(at(base), 'a', 0x3000);
    at(base)[2 * BLOCK] = 'b';
    part = base + 0x1000;
    bytes = 0x1000;
    assert_status(mm_protect(&part, &bytes, PAGE_READONLY, &old, NULL), STATUS_SUCCESS);
    part = base + BLOCK;
    assert_status(mm_free(part, BLOCK, MEM_DECOMMIT, NULL), STATUS_SUCCESS);
    snapshot();
    for (int round = 0; round < 15; round++) {
        at(base)[0] = at(base)[0x2000] = 'x';
        part = base + BLOCK;
        bytes = 0x1000;
        switch (round % 5) {
        case 1: /* locked pages cannot be dropped */
            assert_int_equal(mlock(at(base), 0x3000), 0);
            break;
        case 2:
            assert_status(mm_free(base, 0x2000, MEM_DECOMMIT, NULL), STATUS_SUCCESS);
            break;
        case 3:
            assert_status(mm_alloc(&part, &bytes, MEM_COMMIT, PAGE_READWRITE, NULL),
                          STATUS_SUCCESS);
            at(part)[0] = 'x';
            break;
        }
        release(base);
        assert_false(test_readable(at(base)));
        assert_false(mm_region_name(base, name, sizeof(name)));
        if (round % 5 == 4) {
            assert_int_equal(alloc(base, SIZE), base);
            assert_int_equal(at(base)[0], 0);
            memset(at(base), 'y', SIZE);
            release(base);
        }
        if (round % 2)
            memset(at(alloc(base, SIZE)), 'z', SIZE);
        reset();
        assert_int_equal(at(base)[0], 'a');
        assert_int_equal(at(base)[0x2FFF], 'a');
        assert_int_equal(at(base)[0x3000], 0);
        assert_int_equal(at(base)[2 * BLOCK], 'b');
        assert_int_equal(test_query(base).size, 0x1000);
        assert_int_equal(test_query(base + 0x1000).protect, PAGE_READONLY);
        assert_false(test_writable(at(base + 0x1000)));
        assert_true(test_writable(at(base + 0x3000)));
        assert_int_equal(test_query(base + BLOCK).state, MEM_RESERVE);
        assert_false(test_readable(at(base + BLOCK)));
    }
    mm_snapshot_drop();
    assert_int_equal(at(base)[0x2000], 'a');
    release(base);
}

/* One region of free addresses, some of which are held. */
static void free_addresses_are_one_region(void **state)
{
    uint64_t base = alloc(0, 6 * BLOCK), before, after;

    release(base);
    before = alloc(base, BLOCK);
    alloc(base + 2 * BLOCK, BLOCK);
    after = alloc(base + 4 * BLOCK, BLOCK);
    snapshot();
    release(base + 2 * BLOCK);
    for (uint64_t page = base + BLOCK; page < after; page += TEST_PAGE) {
        struct mm_region region = test_query(page);

        assert_int_equal(region.state, MEM_FREE);
        assert_int_equal(region.base, page);
        assert_int_equal(region.size, after - page);
    }
    /* An allocation may lie across the borders of what is held, and goes like any other. */
    assert_int_equal(alloc(base + BLOCK + 0x8000, 2 * BLOCK), base + BLOCK);
    memset(at(base + BLOCK), 'n', 2 * BLOCK);
    release(base + BLOCK);
    assert_false(host_can_have(base + 2 * BLOCK, BLOCK));
    assert_true(host_can_have(base + BLOCK, BLOCK));
    assert_int_equal(alloc(base + BLOCK, 3 * BLOCK), base + BLOCK);
    reset();
    assert_int_equal(at(base + 2 * BLOCK)[0], 0);
    assert_int_equal(test_query(base + BLOCK).size, BLOCK);
    assert_int_equal(test_query(base + 3 * BLOCK).size, BLOCK);
    mm_snapshot_drop();
    release(before);
    release(base + 2 * BLOCK);
    release(after);
}

/* Memory of the host within the borders: what was reserved around it is given back. */
static void half_of_it_is_the_hosts(void **state)
{
    uint64_t base = alloc(0, 3 * BLOCK), after, size;
    char conflict[64];
    struct pe_error err = {0};

    release(base);
    after = base + 2 * BLOCK;
    alloc(base, BLOCK);
    assert_ptr_equal(host_map(after, BLOCK, 0), test_ptr(after));
    snapshot();
    release(base);
    size = 3 * BLOCK;
    assert_status(mm_alloc(&base, &size, MEM_RESERVE, PAGE_READWRITE, &err),
                  STATUS_CONFLICTING_ADDRESSES);
    snprintf(conflict, sizeof(conflict), "is taken by anonymous memory of the host");
    assert_non_null(strstr(err.text, conflict));
    assert_int_equal(test_query(base).size, 2 * BLOCK);
    assert_true(host_can_have(base + BLOCK, BLOCK));
    assert_int_equal(test_query(after).state, MEM_COMMIT);
    munmap(test_ptr(after), BLOCK);
    reset();
    mm_snapshot_drop();
    release(base);
}

/* An image loads where it wants to, and is gone after the reset. */
static void an_image_is_mapped_there(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (TEST_64_BIT ? PEBUILD_PE32_PLUS : 0));
    static const uint8_t bytes[512] = {1};
    struct mm_section *section;
    struct mm_view *view;
    struct mm_map_options lasting = {.shared_fd = -1, .lasting = true}, passing = {.shared_fd = -1};
    uint64_t base = 0, size = 4 * BLOCK;

    assert_status(
        mm_alloc_below(0x7F000000, &base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL),
        STATUS_SUCCESS);
    b->h.image_base = base;
    pebuild_section(b, ".data", PEBUILD_DATA, bytes, sizeof(bytes), 0x2000);
    section = test_section(b);
    at(base)[0x1000] = 'k';
    snapshot();
    release(base);
    view = test_map(section, base + BLOCK);
    assert_int_equal(mm_view_base(view), base + BLOCK);
    test_seal(view);
    assert_int_equal(test_at(view, 0)[0], 'M');
    assert_int_equal(test_query(base).size, BLOCK);
    mm_view_unmap(view);
    assert_int_equal(test_query(base).state, MEM_FREE);
    assert_false(host_can_have(base + BLOCK, BLOCK));
    /* What no reset takes away goes elsewhere, all else to where it prefers to be. */
    assert_status(mm_view_map(section, &passing, &view, NULL, 0, NULL), STATUS_SUCCESS);
    assert_int_equal(mm_view_base(view), base);
    mm_view_unmap(view);
    assert_status(mm_view_map(section, &lasting, &view, NULL, 0, NULL), STATUS_IMAGE_NOT_AT_BASE);
    assert_int_equal(test_query(base).state, MEM_FREE);
    mm_view_unmap(view);
    reset();
    assert_int_equal(at(base)[0x1000], 'k');
    mm_snapshot_drop();
    release(base);
    mm_section_unref(section);
}

/* Where there is no other room below a limit, it is free as well. */
static void the_last_addresses(void **state)
{
    const uint64_t limit = 0x200000;
    uint64_t base = limit - BLOCK, size = BLOCK;
    void *rest;

    if (!nt_ok(try_alloc(base, size)))
        skip();
    at(base)[0] = 'b';
    rest = host_map(0x10000, base - 0x10000, MAP_FIXED_NOREPLACE);
    assert_ptr_equal(rest, test_ptr(0x10000));
    snapshot();
    release(base);
    for (int i = 0; i < 2; i++) {
        uint64_t where = 0;

        size = BLOCK;
        assert_status(
            mm_alloc_below(limit, &where, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL),
            STATUS_SUCCESS);
        assert_int_equal(where, base);
        at(base)[0] = 'n';
        where = 0;
        assert_status(mm_alloc_below(limit, &where, &size, MEM_RESERVE, PAGE_READWRITE, NULL),
                      STATUS_NO_MEMORY);
        release(base);
    }
    munmap(rest, (size_t)(base - 0x10000));
    reset();
    assert_int_equal(at(base)[0], 'b');
    mm_snapshot_drop();
    release(base);
}

/* Neither mappings nor descriptors, whatever was freed and when. */
static void nothing_is_left(void **state)
{
    unsigned maps, fds = test_fd_count();
    uint64_t base[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        base[i] = alloc(0, BLOCK);
    maps = test_mapping_count();
    snapshot();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < BLOCKS; i++)
            release(base[(i * 3 + round) % BLOCKS]);
        if (round % 2)
            alloc(base[0], BLOCK / 2);
        reset();
    }
    for (int i = 0; i < BLOCKS; i++)
        release(base[i]);
    mm_snapshot_drop();
    assert_int_equal(test_fd_count(), fds);
    assert_true(test_mapping_count() <= maps);
    for (int i = 0; i < BLOCKS; i++) {
        assert_true(host_can_have(base[i], BLOCK));
        assert_int_equal(test_query(base[i]).state, MEM_FREE);
    }
}

/* The next snapshot, or none: what was freed before is free for all. */
static void it_ends_with_the_snapshot(void **state)
{
    uint64_t base = alloc(0, BLOCK), other = alloc(0, BLOCK), over;

    snapshot();
    release(base);
    assert_false(host_can_have(base, BLOCK));
    snapshot();
    assert_true(host_can_have(base, BLOCK));
    release(other);
    over = alloc(other, BLOCK);
    mm_snapshot_drop();
    release(over);
    assert_true(host_can_have(other, BLOCK));
    /* Memory that a snapshot knew is like any other once it is forgotten. */
    base = alloc(0, BLOCK);
    snapshot();
    mm_snapshot_drop();
    release(base);
    assert_true(host_can_have(base, BLOCK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_gets_none_of_it),
        cmocka_unit_test(an_image_finds_it_free),
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(free_addresses_are_one_region),
        cmocka_unit_test(half_of_it_is_the_hosts),
        cmocka_unit_test(an_image_is_mapped_there),
        cmocka_unit_test(the_last_addresses),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(it_ends_with_the_snapshot),
    };

    return cmocka_run_group_tests_name("mm_held", tests, NULL, NULL);
}
