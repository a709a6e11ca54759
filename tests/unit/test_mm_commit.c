/*
 * SEC_RESERVE sections: pages that are committed one by one, for all views and processes
 * (facts 4.4).
 */
#include "tests/unit/data_test.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGES 100u
#define SIZE  (PAGES * TEST_PAGE)
#define WORDS ((PAGES + 31) / 32)

/* A fresh bitmap that a forked child shares. */
static uint32_t *bitmap(void)
{
    void *words;
    int fd;

    assert_status(mm_host_memory("peldr:commit", TEST_PAGE, true, &fd, NULL), STATUS_SUCCESS);
    assert_status(mm_host_map(fd, 0, TEST_PAGE, &words, NULL), STATUS_SUCCESS);
    close(fd);
    return words;
}

static struct mm_data *reserved(uint32_t protect, uint32_t **commit)
{
    *commit = bitmap();
    return data_of_memory(SIZE, protect, SEC_RESERVE, *commit);
}

static void drop(struct mm_data *data, uint32_t *commit)
{
    mm_data_unref(data);
    mm_host_unmap(commit, TEST_PAGE);
}

static void check_region(const uint8_t *at, uint64_t size, uint32_t state, uint32_t protect,
                         uint32_t allocation_protect)
{
    struct mm_region region = test_query(test_address(at));

    assert_int_equal(region.size, size);
    assert_int_equal(region.state, state);
    assert_int_equal(region.protect, protect);
    assert_int_equal(region.allocation_protect, allocation_protect);
    assert_int_equal(region.type, MEM_MAPPED);
    assert_int_equal(region.pages_committed, state == MEM_COMMIT ? size / TEST_PAGE : 0);
    assert_int_equal(region.backing,
                     state == MEM_COMMIT ? MM_BACKING_SHARED_SECTION : MM_BACKING_NONE);
}

/* The page is committed in the section: the other view has it too, with its own protection. */
static void two_views(void **state)
{
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *one = data_view(data, PAGE_READWRITE, 0, 0);
    uint8_t *two = data_view(data, PAGE_READWRITE, 0, 0), *late;

    check_region(one, SIZE, MEM_RESERVE, 0, PAGE_READWRITE);
    check_region(two, SIZE, MEM_RESERVE, 0, PAGE_READWRITE);
    assert_false(test_readable(one));
    assert_status(data_commit(one, 0x10000, PAGE_READONLY), STATUS_SUCCESS);
    check_region(one, 0x10000, MEM_COMMIT, PAGE_READONLY, PAGE_READWRITE);
    check_region(one + 0x10000, SIZE - 0x10000, MEM_RESERVE, 0, PAGE_READWRITE);
    check_region(two, 0x10000, MEM_COMMIT, PAGE_READWRITE, PAGE_READWRITE);
    check_region(two + 0x10000, SIZE - 0x10000, MEM_RESERVE, 0, PAGE_READWRITE);
    /* Read by the processor, page by page: the fault handler's part is played by hand. */
    assert_false(test_readable(two));
    assert_true(mm_commit_fault(test_address(two) + 0xF123, 1));
    assert_true(test_writable(two));
    two[0xF000] = 0x42;
    assert_int_equal(one[0xF000], 0x42);
    assert_false(test_writable(one));
    /* Committing again is a change of protection; what is there stays. */
    assert_status(data_commit(one + 0xF000, 0x2000, PAGE_READWRITE), STATUS_SUCCESS);
    assert_int_equal(one[0xF000], 0x42);
    check_region(one + 0xF000, 0x2000, MEM_COMMIT, PAGE_READWRITE, PAGE_READWRITE);
    /* A view that comes later finds the pages open. */
    late = data_view(data, PAGE_READONLY, 0, 0);
    assert_int_equal(late[0xF000], 0x42);
    check_region(late, 0x11000, MEM_COMMIT, PAGE_READONLY, PAGE_READONLY);
    data_unmap(one);
    data_unmap(two);
    data_unmap(late);
    drop(data, commit);
}

static void refusals(void **state)
{
    uint32_t *commit, old;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *view = data_view(data, PAGE_READONLY, 0, 0);
    static const struct {
        uint64_t at, size;
        uint32_t protect;
        nt_status status;
    } rows[] = {
        {0, 0x1000, PAGE_READWRITE, (nt_status)STATUS_SECTION_PROTECTION},
        {0, 0x1000, PAGE_EXECUTE_READ, (nt_status)STATUS_SECTION_PROTECTION},
        {0, 0x1000, PAGE_WRITECOPY, (nt_status)STATUS_INVALID_PAGE_PROTECTION},
        {0, 0x1000, PAGE_READONLY | PAGE_NOCACHE, (nt_status)STATUS_INVALID_PAGE_PROTECTION},
        {0, 0x1000, 0, (nt_status)STATUS_INVALID_PAGE_PROTECTION},
        {0, SIZE + 1, PAGE_READONLY, (nt_status)STATUS_CONFLICTING_ADDRESSES},
        {SIZE, 0x1000, PAGE_READONLY, (nt_status)STATUS_CONFLICTING_ADDRESSES},
        {0, 0, PAGE_READONLY, (nt_status)STATUS_INVALID_PARAMETER},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_status(data_commit(view + rows[i].at, rows[i].size, rows[i].protect),
                      rows[i].status);
    for (size_t i = 0; i < WORDS; i++)
        assert_int_equal(commit[i], 0);
    assert_status(data_protect(view, 0x1000, PAGE_READONLY, &old), STATUS_NOT_COMMITTED);
    assert_status(data_commit(view, 0x1000, PAGE_READONLY), STATUS_SUCCESS);
    assert_status(data_protect(view, 0x2000, PAGE_NOACCESS, &old), STATUS_NOT_COMMITTED);
    assert_status(mm_free(test_address(view), 0x1000, MEM_DECOMMIT, NULL),
                  STATUS_UNABLE_TO_DELETE_SECTION);
    check_region(view, 0x1000, MEM_COMMIT, PAGE_READONLY, PAGE_READONLY);
    data_unmap(view);
    drop(data, commit);
}

/* MEM_RESET says that the content is not needed; it covers what is not committed as well. */
static void reset(void **state)
{
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);
    uint64_t base = test_address(view), size = SIZE;

    assert_status(mm_alloc(&base, &size, MEM_RESET, PAGE_READONLY, NULL), STATUS_SUCCESS);
    assert_int_equal(base, test_address(view));
    check_region(view, SIZE, MEM_RESERVE, 0, PAGE_READWRITE);
    size = SIZE + 1;
    assert_status(mm_alloc(&base, &size, MEM_RESET, PAGE_READONLY, NULL),
                  STATUS_CONFLICTING_ADDRESSES);
    size = SIZE;
    assert_status(mm_alloc(&base, &size, MEM_RESET | MEM_COMMIT, PAGE_READONLY, NULL),
                  STATUS_INVALID_PARAMETER);
    data_unmap(view);
    drop(data, commit);
}

/* The bits of the section, whatever part of it a view shows: against one page at a time. */
static void bits(void **state)
{
    static const struct {
        uint64_t offset, page, count;
    } rows[] = {{0, 0, 1},       {0, 31, 2},       {0x20000, 0, 32},
                {0x20000, 5, 1}, {0x40000, 3, 33}, {0, 98, 2}};
    bool expected[PAGES] = {0};
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *whole;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *view = data_view(data, PAGE_READWRITE, rows[i].offset, 0);

        assert_status(
            data_commit(view + rows[i].page * TEST_PAGE, rows[i].count * TEST_PAGE, PAGE_READWRITE),
            STATUS_SUCCESS);
        for (uint64_t page = 0; page < rows[i].count; page++)
            expected[rows[i].offset / TEST_PAGE + rows[i].page + page] = true;
        for (uint32_t page = 0; page < PAGES; page++)
            assert_int_equal(commit[page / 32] >> page % 32 & 1, expected[page]);
        data_unmap(view);
    }
    assert_int_equal(commit[WORDS - 1] >> PAGES % 32, 0);
    whole = data_view(data, PAGE_READWRITE, 0, 0);
    for (uint32_t page = 0; page < PAGES; page++) {
        assert_int_equal(test_readable(whole + page * TEST_PAGE), expected[page]);
        assert_int_equal(test_query(test_address(whole) + page * TEST_PAGE).state,
                         expected[page] ? MEM_COMMIT : MEM_RESERVE);
    }
    data_unmap(whole);
    drop(data, commit);
}

/* Committed pages have their memory, so that no access to one fails later. */
static void space(void **state)
{
    uint32_t *commit = bitmap();
    struct mm_data_source source = {.size = SIZE,
                                    .protect = PAGE_READWRITE,
                                    .attributes = SEC_RESERVE,
                                    .paging_file = true,
                                    .commit = commit};
    struct mm_data *data;
    struct stat st;
    uint8_t *view;

    assert_status(mm_host_memory("peldr:test", SIZE, false, &source.fd, NULL), STATUS_SUCCESS);
    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    view = data_view(data, PAGE_READWRITE, 0x10000, 0);
    assert_status(data_commit(view + 0x1000, 0x3000, PAGE_READWRITE), STATUS_SUCCESS);
    assert_int_equal(fstat(source.fd, &st), 0);
    assert_int_equal(st.st_blocks * 512, 0x3000);
    assert_int_equal(st.st_size, SIZE);
    data_unmap(view);
    close(source.fd);
    drop(data, commit);
}

/* A file system that is full: nothing is committed, and what was there goes on working. */
static int commit_on_small_disk(void)
{
    uint32_t *commit = bitmap();
    struct mm_data_source source = {.size = SIZE,
                                    .protect = PAGE_READWRITE,
                                    .attributes = SEC_RESERVE,
                                    .paging_file = true,
                                    .commit = commit};
    struct mm_data *data;
    uint8_t *view;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", tempdir, "tmpfs", 0, "size=64k") != 0)
        return 77;
    source.fd = data_file("small", 0);
    assert_int_equal(ftruncate(source.fd, SIZE), 0);
    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    view = data_view(data, PAGE_READWRITE, 0, 0);
    if (data_commit(view, 0x8000, PAGE_READWRITE) != STATUS_SUCCESS)
        return 1;
    if (data_commit(view + 0x8000, 0x9000, PAGE_READWRITE) != (nt_status)STATUS_COMMITMENT_LIMIT)
        return 2;
    if (commit[0] != 0xFF || test_query(test_address(view) + 0x8000).state != MEM_RESERVE)
        return 3;
    if (data_commit(view + 0x8000, 0x8000, PAGE_READWRITE) != STATUS_SUCCESS)
        return 4;
    memset(view, 1, 0x10000);
    return 0;
}

static void no_space(void **state)
{
    pid_t child = fork();
    int code;

    if (child == 0)
        _exit(commit_on_small_disk());
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77)
        skip(); /* not allowed to mount */
    assert_int_equal(WEXITSTATUS(code), 0);
}

/* ---- another process --------------------------------------------------------------------------
 */

static void in_child(void (*body)(uint8_t *view), uint8_t *view)
{
    pid_t child = fork();
    int code;

    if (child == 0) {
        body(view);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
}

static void commit_and_write(uint8_t *view)
{
    if (!nt_ok(data_commit(view + 0x5000, 0x3000, PAGE_READWRITE)))
        _exit(1);
    memset(view + 0x5000, 0x5A, 0x3000);
}

static void other_process(void **state)
{
    uint32_t *commit, old;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);

    in_child(commit_and_write, view);
    /* A question is answered without a fault, and does not open the page. */
    check_region(view + 0x5000, 0x3000, MEM_COMMIT, PAGE_READWRITE, PAGE_READWRITE);
    check_region(view, 0x5000, MEM_RESERVE, 0, PAGE_READWRITE);
    assert_false(test_readable(view + 0x5000));
    /* What the kernel refused is worth a second try, once. */
    assert_false(mm_commit_refresh(test_address(view), 0x5000));
    assert_true(mm_commit_refresh(test_address(view) + 0x4FFF, 2));
    assert_false(mm_commit_refresh(test_address(view) + 0x4FFF, 2));
    assert_true(test_readable(view + 0x5000));
    assert_false(test_readable(view + 0x6000));
    /* VirtualProtect on a page that is still closed. */
    assert_status(data_protect(view + 0x6000, 0x1000, PAGE_READONLY, &old), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READWRITE);
    assert_int_equal(view[0x6000], 0x5A);
    assert_false(test_writable(view + 0x6000));
    /* And the fault. */
    assert_true(mm_commit_fault(test_address(view) + 0x7FFF, 0));
    assert_int_equal(view[0x7FFF], 0x5A);
    data_unmap(view);
    drop(data, commit);
}

static void faults(void **state)
{
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_EXECUTE_READWRITE, &commit);
    uint8_t *view = data_view(data, PAGE_EXECUTE_READ, 0, 0);
    uint8_t *writer = data_view(data, PAGE_READWRITE, 0, 0);
    uint64_t at = test_address(view) + 0x5000;

    assert_false(mm_commit_fault(at, 0));
    assert_status(data_commit(writer + 0x5000, 0x1000, PAGE_READWRITE), STATUS_SUCCESS);
    /* Opened by another thread just before: true as long as the access is allowed. */
    for (int i = 0; i < 2; i++) {
        assert_true(mm_commit_fault(at, 0));
        assert_true(mm_commit_fault(at, 8));
        assert_false(mm_commit_fault(at, 1));
    }
    assert_false(mm_commit_fault(test_address(writer) + 0x5000, 8));
    assert_false(mm_commit_fault(at + 0x1000, 0));
    assert_false(mm_commit_fault(0, 0));
    assert_false(mm_commit_fault(UINT64_MAX, 0));
    assert_false(mm_commit_refresh(UINT64_MAX - 5, 10));
    assert_false(mm_commit_refresh(0, UINT64_MAX));
    data_unmap(view);
    data_unmap(writer);
    /* No view of such a section: nothing to look for. */
    assert_false(mm_commit_fault(at, 0));
    drop(data, commit);
}

/* A buffer over several views and what lies between them. */
static void refresh_over_views(void **state)
{
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    struct mm_data_map how = {.protect = PAGE_READWRITE, .size = 0x10000};
    uint64_t bases[2] = {0x48000000, 0x48020000}, size;

    for (size_t i = 0; i < 2; i++) {
        how.base = bases[i];
        assert_status(mm_data_map(data, &how, &bases[i], &size, NULL), STATUS_SUCCESS);
    }
    commit[0] = 0x8001;
    assert_true(mm_commit_refresh(bases[0] + 0x8000, 0x30000));
    assert_false(test_readable(test_ptr(bases[0])));
    assert_true(test_readable(test_ptr(bases[0] + 0xF000)));
    assert_true(test_readable(test_ptr(bases[1])));
    data_unmap(test_ptr(bases[0]));
    data_unmap(test_ptr(bases[1]));
    drop(data, commit);
}

/* ---- other kinds ------------------------------------------------------------------------------
 */

/* In a view of a committed section, MEM_COMMIT is a change of protection. */
static void committed_section(void **state)
{
    struct mm_data *data = data_of_memory(SIZE, PAGE_READWRITE, SEC_COMMIT, NULL);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);

    view[0x1000] = 9;
    assert_status(data_commit(view + 0x1000, 0x1000, PAGE_READONLY), STATUS_SUCCESS);
    check_region(view + 0x1000, 0x1000, MEM_COMMIT, PAGE_READONLY, PAGE_READWRITE);
    assert_int_equal(view[0x1000], 9);
    assert_status(data_commit(view + 0x1000, 0x1000, PAGE_WRITECOPY),
                  STATUS_INVALID_PAGE_PROTECTION);
    data_unmap(view);
    mm_data_unref(data);
}

/* A file-backed section takes no notice of SEC_RESERVE. */
static void reserved_file(void **state)
{
    uint32_t word = 0;
    struct mm_data_source source = {.fd = data_file("data", SIZE),
                                    .size = SIZE,
                                    .protect = PAGE_READWRITE,
                                    .attributes = SEC_RESERVE,
                                    .commit = &word};
    struct mm_data *data;
    uint8_t *view;

    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    close(source.fd);
    view = data_view(data, PAGE_READWRITE, 0, 0);
    assert_int_equal(view[0x3000], 4);
    assert_int_equal(test_query(test_address(view)).state, MEM_COMMIT);
    data_unmap(view);
    mm_data_unref(data);
}

static void copy_of_reserved(void **state)
{
    uint32_t *commit;
    struct mm_data *data = reserved(PAGE_READWRITE, &commit);
    uint8_t *copy = data_view(data, PAGE_WRITECOPY, 0, 0);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);

    assert_status(data_commit(view, 0x2000, PAGE_READWRITE), STATUS_SUCCESS);
    view[0] = view[0x1000] = 1;
    check_region(copy, 0x2000, MEM_COMMIT, PAGE_WRITECOPY, PAGE_WRITECOPY);
    assert_true(mm_commit_fault(test_address(copy), 1));
    copy[0] = 2;
    assert_int_equal(view[0], 1);
    assert_int_equal(test_query(test_address(copy)).protect, PAGE_READWRITE);
    assert_int_equal(test_query(test_address(copy) + 0x1000).protect, PAGE_WRITECOPY);
    data_unmap(copy);
    data_unmap(view);
    drop(data, commit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_views),
        cmocka_unit_test(refusals),
        cmocka_unit_test(reset),
        cmocka_unit_test(bits),
        cmocka_unit_test(space),
        cmocka_unit_test(no_space),
        cmocka_unit_test(other_process),
        cmocka_unit_test(faults),
        cmocka_unit_test(refresh_over_views),
        cmocka_unit_test(committed_section),
        cmocka_unit_test(reserved_file),
        cmocka_unit_test(copy_of_reserved),
    };
    return cmocka_run_group_tests(tests, data_setup, data_teardown);
}
