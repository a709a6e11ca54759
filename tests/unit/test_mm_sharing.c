/*
 * Which pages processes share (facts 1.6): clean image pages and SHARED PE sections are, written
 * ones are not.
 */
#include <sys/wait.h>

#include "tests/unit/mm_test.h"

enum { DATA = 0x1000, SHARED = 0x2000, SHARED2 = 0x4000 };

static struct mm_section *sample(void)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);

    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0);
    pebuild_section(b, "Shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, "count", 5, 0x2000);
    pebuild_section(b, "Shared2", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED | IMAGE_SCN_MEM_EXECUTE,
                    "more", 4, 0);
    return test_section(b);
}

static int make_backing(struct mm_section *section)
{
    int fd = memfd_create("backing", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)mm_section_shared_size(section)), 0);
    assert_status(mm_section_write_shared(section, fd, NULL), STATUS_SUCCESS);
    return fd;
}

static struct mm_view *map_shared(struct mm_section *section, int fd)
{
    struct mm_map_options options = {.shared_fd = fd};
    struct mm_view *view;

    assert_true(nt_ok(mm_view_map(section, &options, &view, NULL, 0, NULL)));
    return view;
}

static void initial_content(void **state)
{
    struct mm_section *section = sample();
    int fd = make_backing(section);
    struct mm_view *view = map_shared(section, fd);
    uint8_t bytes[8] = {0};

    assert_int_equal(mm_section_shared_size(section), 0x3000);
    assert_int_equal(pread(fd, bytes, 5, 0), 5);
    assert_memory_equal(bytes, "count", 6);
    assert_int_equal(pread(fd, bytes, 4, 0x2000), 4);
    assert_memory_equal(bytes, "more", 4);
    assert_memory_equal(test_at(view, SHARED), "count", 5);
    assert_memory_equal(test_at(view, SHARED2), "more", 4);
    test_seal(view);
    assert_int_equal(test_protect_of(view, SHARED), PAGE_READWRITE);
    assert_int_equal(test_protect_of(view, SHARED2), PAGE_EXECUTE_READWRITE);
    assert_int_equal(test_protect_of(view, DATA), PAGE_WRITECOPY);
    assert_int_equal(test_query(mm_view_base(view) + SHARED).backing, MM_BACKING_SHARED_SECTION);
    assert_int_equal(test_query(mm_view_base(view) + SHARED).pages_private, 0);
    mm_view_unmap(view);
    close(fd);
    mm_section_unref(section);
}

static void seen_by_another_process(void **state)
{
    struct mm_section *section = sample();
    int fd = make_backing(section), code;
    struct mm_view *view = map_shared(section, fd);
    pid_t child;

    test_seal(view);
    child = fork();
    if (child == 0) {
        struct mm_view *other = map_shared(section, fd);

        *test_at(other, SHARED) = 'C';
        *test_at(other, SHARED2) = 'M';
        *test_at(other, DATA) = 'D';
        *test_at(view, DATA) = 'D';
        /* Which pages are private is asked about this process, not about its parent. */
        _exit(test_protect_of(view, DATA) == PAGE_READWRITE ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    assert_memory_equal(test_at(view, SHARED), "Count", 5);
    assert_memory_equal(test_at(view, SHARED2), "More", 4);
    assert_memory_equal(test_at(view, DATA), "data", 4);
    assert_int_equal(test_protect_of(view, DATA), PAGE_WRITECOPY);
    mm_view_unmap(view);
    close(fd);
    mm_section_unref(section);
}

/* Without a backing the content is there and nobody else's. */
static void without_backing(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *one = map_shared(section, -1), *two = map_shared(section, -1);

    test_seal(one);
    test_seal(two);
    assert_false(mm_view_is_shared(one, SHARED, 1));
    assert_int_equal(test_protect_of(one, SHARED), PAGE_READWRITE);
    *test_at(one, SHARED) = 'X';
    assert_memory_equal(test_at(two, SHARED), "count", 5);
    mm_view_unmap(one);
    mm_view_unmap(two);
    mm_section_unref(section);
}

/* An IAT in a SHARED section: its page turns private, with what the image says, the next does not.
 */
static void privatize(void **state)
{
    struct mm_section *section = sample();
    int fd = make_backing(section);
    struct mm_view *one = map_shared(section, fd), *two = map_shared(section, fd);

    *test_at(two, SHARED) = 'Z';
    assert_true(mm_view_is_shared(one, SHARED, 4));
    assert_true(mm_view_is_shared(one, DATA, 0x1001));
    assert_false(mm_view_is_shared(one, DATA, 0x1000));
    assert_false(mm_view_is_shared(one, SHARED, 0));
    assert_status(mm_view_privatize(one, SHARED + 8, 8, NULL), STATUS_SUCCESS);
    assert_false(mm_view_is_shared(one, SHARED, 0x1000));
    assert_true(mm_view_is_shared(one, SHARED + 0x1000, 1));
    assert_memory_equal(test_at(one, SHARED), "count", 5);
    *test_at(one, SHARED) = 'P';
    *test_at(one, SHARED + 0x1000) = 'S';
    test_seal(one);
    assert_memory_equal(test_at(two, SHARED), "Z", 1);
    assert_memory_equal(test_at(two, SHARED + 0x1000), "S", 1);
    assert_int_equal(test_query(mm_view_base(one) + SHARED).backing, MM_BACKING_PAGING_FILE);
    /* Too late once the view is sealed. */
    assert_false(nt_ok(mm_view_privatize(one, SHARED + 0x1000, 8, NULL)));
    mm_view_unmap(one);
    mm_view_unmap(two);
    close(fd);
    mm_section_unref(section);
}

/* READWRITE stays READWRITE on SHARED pages, and a shared page cannot become a private copy. */
static void protect_shared(void **state)
{
    struct mm_section *section = sample();
    int fd = make_backing(section);
    struct mm_view *view = map_shared(section, fd);
    uint64_t base = mm_view_base(view) + SHARED, size = 0x1000;
    uint32_t old;

    test_seal(view);
    assert_status(mm_protect(&base, &size, PAGE_READONLY, &old, NULL), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READWRITE);
    assert_false(test_writable(test_at(view, SHARED)));
    assert_status(mm_protect(&base, &size, PAGE_READWRITE, &old, NULL), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READONLY);
    assert_int_equal(test_protect_of(view, SHARED), PAGE_READWRITE);
    assert_status(mm_protect(&base, &size, PAGE_WRITECOPY, &old, NULL), STATUS_SECTION_PROTECTION);
    assert_int_equal(test_protect_of(view, SHARED), PAGE_READWRITE);
    mm_view_unmap(view);
    close(fd);
    mm_section_unref(section);
}

/* 64 MiB of SHARED zeroes must not be written out. */
static void sparse_backing(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    int fd;

    pebuild_section(b, "Shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, "x", 1, 0x4000000);
    section = test_section(b);
    fd = make_backing(section);
    assert_true(lseek(fd, 0, SEEK_HOLE) <= 4 * (off_t)TEST_PAGE);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0x4000000);
    close(fd);
    mm_section_unref(section);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_content), cmocka_unit_test(seen_by_another_process),
        cmocka_unit_test(without_backing), cmocka_unit_test(privatize),
        cmocka_unit_test(protect_shared),  cmocka_unit_test(sparse_backing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
