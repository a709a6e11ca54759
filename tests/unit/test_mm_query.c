/*
 * VirtualQuery for image views and for the host's memory (facts 1.1, 1.3).
 */
#include <fcntl.h>
#include <pthread.h>

#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

/* .text, .rdata, two writable sections that touch, and .none; 64 KiB of image. */
static struct mm_section *sample(void)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);

    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0x2000);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, "x", 1, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0x3000);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x3000);
    pebuild_section(b, ".none", 0, "x", 1, 0);
    pebuild_section(b, ".xw", PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE, "x", 1, 0);
    return test_section(b);
}

enum { TEXT = 0x1000, RDATA = 0x3000, DATA = 0x4000, BSS = 0x7000, NONE = 0xA000, XW = 0xB000 };

static void assert_region(struct mm_region region, uint64_t base, uint64_t size, uint32_t protect)
{
    assert_int_equal(region.base, base);
    assert_int_equal(region.size, size);
    assert_int_equal(region.protect, protect);
}

static void image_regions(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    uint64_t base = mm_view_base(view);
    struct mm_region region;

    test_seal(view);
    region = test_query(base);
    assert_region(region, base, 0x1000, PAGE_READONLY);
    assert_int_equal(region.allocation_base, base);
    assert_int_equal(region.allocation_protect, PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(region.state, MEM_COMMIT);
    assert_int_equal(region.type, MEM_IMAGE);
    assert_region(test_query(base + TEXT), base + TEXT, 0x2000, PAGE_EXECUTE_READ);
    assert_region(test_query(base + RDATA), base + RDATA, 0x1000, PAGE_READONLY);
    /* Adjacent pages with equal attributes are one region, here of two PE sections. */
    assert_region(test_query(base + DATA), base + DATA, 0x6000, PAGE_WRITECOPY);
    assert_region(test_query(base + NONE), base + NONE, 0x1000, PAGE_NOACCESS);
    assert_region(test_query(base + XW), base + XW, 0x1000, PAGE_EXECUTE_WRITECOPY);
    /* A region begins at the page that was asked about. */
    region = test_query(base + DATA + 0x1234);
    assert_region(region, base + DATA + 0x1000, 0x5000, PAGE_WRITECOPY);
    assert_int_equal(region.allocation_base, base);
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* The page that was written, and no other, answers READWRITE. */
static void written_pages(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    uint64_t base = mm_view_base(view);
    volatile uint8_t seen;

    test_seal(view);
    seen = *test_at(view, DATA); /* reading is no writing */
    seen = *test_at(view, BSS);
    assert_int_equal(seen, 0);
    assert_int_equal(test_protect_of(view, DATA), PAGE_WRITECOPY);
    *test_at(view, DATA + 0x1010) = 1;
    assert_region(test_query(base + DATA), base + DATA, 0x1000, PAGE_WRITECOPY);
    assert_region(test_query(base + DATA + 0x1000), base + DATA + 0x1000, 0x1000, PAGE_READWRITE);
    assert_region(test_query(base + DATA + 0x2000), base + DATA + 0x2000, 0x4000, PAGE_WRITECOPY);
    /* Zero fill is the image's until it is written, too. */
    *test_at(view, BSS + 0x2000) = 1;
    assert_int_equal(test_protect_of(view, BSS), PAGE_WRITECOPY);
    assert_int_equal(test_protect_of(view, BSS + 0x2000), PAGE_READWRITE);
    *test_at(view, XW) = 0xC3;
    assert_int_equal(test_protect_of(view, XW), PAGE_EXECUTE_READWRITE);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void expect_next(const struct mm_view *view, uint32_t *cursor, uint32_t rva, uint32_t size,
                        int32_t pe_section, enum mm_backing backing, uint64_t pages_private)
{
    struct mm_region region;

    assert_true(mm_view_next_region(view, cursor, &region));
    assert_int_equal(region.base, mm_view_base(view) + rva);
    assert_int_equal(region.size, size);
    assert_int_equal(region.pe_section, pe_section);
    assert_int_equal(region.backing, backing);
    assert_int_equal(region.pages_private, pages_private);
}

static void walk_by_section(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    struct mm_region region;
    uint32_t cursor = 0;

    /* A fixup in .text, written while the view is open: its page is private, its protection stays.
     */
    *test_at(view, TEXT + 0x1000) = 1;
    test_seal(view);
    *test_at(view, BSS + 0x1000) = 1;
    expect_next(view, &cursor, 0, 0x1000, -1, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, TEXT, 0x2000, 0, MM_BACKING_IMAGE_FILE, 1);
    expect_next(view, &cursor, RDATA, 0x1000, 1, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, DATA, 0x3000, 2, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, BSS, 0x1000, 3, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, BSS + 0x1000, 0x1000, 3, MM_BACKING_PAGING_FILE, 1);
    expect_next(view, &cursor, BSS + 0x2000, 0x1000, 3, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, NONE, 0x1000, 4, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, XW, 0x1000, 5, MM_BACKING_IMAGE_FILE, 0);
    assert_false(mm_view_next_region(view, &cursor, &region));
    region = test_query(mm_view_base(view) + BSS + 0x1000);
    assert_int_equal(region.initial_protect, PAGE_WRITECOPY);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void gaps_are_reserved(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    struct mm_region region;
    uint32_t cursor = 0x1000;

    b->h.section_alignment = 0x10000;
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0);
    section = test_section(b);
    view = test_map(section, 0);
    test_seal(view);
    region = test_query(mm_view_base(view) + 0x1000);
    assert_region(region, mm_view_base(view) + 0x1000, 0xF000, 0);
    assert_int_equal(region.state, MEM_RESERVE);
    assert_int_equal(region.type, MEM_IMAGE);
    assert_int_equal(region.allocation_base, mm_view_base(view));
    expect_next(view, &cursor, 0x1000, 0xF000, -1, MM_BACKING_NONE, 0);
    expect_next(view, &cursor, 0x10000, 0x1000, 0, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, 0x11000, 0xF000, -1, MM_BACKING_NONE, 0);
    expect_next(view, &cursor, 0x20000, 0x1000, 1, MM_BACKING_IMAGE_FILE, 0);
    expect_next(view, &cursor, 0x21000, 0xF000, -1, MM_BACKING_NONE, 0);
    assert_string_equal(test_permissions(mm_view_base(view) + 0x1000), "---p");
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* Facts 1.4. */
static void protect_on_images(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    uint64_t base = mm_view_base(view) + TEXT + 0x10, size = 1;
    struct pe_error err = {0};
    uint32_t old = 0;

    test_seal(view);
    assert_status(mm_protect(&base, &size, PAGE_READWRITE, &old, &err), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_EXECUTE_READ);
    assert_int_equal(base, mm_view_base(view) + TEXT);
    assert_int_equal(size, 0x1000);
    assert_int_equal(test_protect_of(view, TEXT), PAGE_WRITECOPY);
    assert_int_equal(test_protect_of(view, TEXT + 0x1000), PAGE_EXECUTE_READ);
    *test_at(view, TEXT) = 1;
    assert_int_equal(test_protect_of(view, TEXT), PAGE_READWRITE);
    assert_status(mm_protect(&base, &size, PAGE_EXECUTE_READWRITE, &old, &err), STATUS_SUCCESS);
    assert_int_equal(old, PAGE_READWRITE);
    assert_int_equal(test_protect_of(view, TEXT), PAGE_EXECUTE_READWRITE);
    base = mm_view_base(view) + TEXT + 0x1000;
    assert_status(mm_protect(&base, &size, PAGE_EXECUTE_READWRITE, &old, &err), STATUS_SUCCESS);
    assert_int_equal(test_protect_of(view, TEXT + 0x1000), PAGE_EXECUTE_WRITECOPY);
    /* AllocationProtect is the view's, whatever its pages become. */
    assert_int_equal(test_query(base).allocation_protect, PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(test_query(base).initial_protect, PAGE_EXECUTE_READ);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void refused_on_images(void **state)
{
    static const uint32_t invalid[] = {0, PAGE_READONLY | PAGE_READWRITE, 0x1000};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    uint64_t base, size = 0x1000;
    uint32_t old;

    b->h.section_alignment = 0x2000;
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0);
    section = test_section(b);
    view = test_map(section, 0);
    test_seal(view);
    base = mm_view_base(view);
    for (unsigned i = 0; i < 3; i++)
        assert_status(mm_protect(&base, &size, invalid[i], &old, NULL),
                      STATUS_INVALID_PAGE_PROTECTION);
    size = 0x3000; /* over the gap behind the headers */
    assert_status(mm_protect(&base, &size, PAGE_READONLY, &old, NULL), STATUS_NOT_COMMITTED);
    base = mm_view_base(view) + 0x2000;
    size = mm_view_size(view); /* beyond the view */
    assert_status(mm_protect(&base, &size, PAGE_READONLY, &old, NULL),
                  STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(test_protect_of(view, 0x2000), PAGE_WRITECOPY);
    base = mm_view_base(view) + 0x2000;
    size = 0x1000;
    assert_status(mm_alloc(&base, &size, MEM_COMMIT, PAGE_READWRITE, NULL),
                  STATUS_ALREADY_COMMITTED);
    assert_int_equal(nt_status_to_win32(STATUS_ALREADY_COMMITTED), 5);
    assert_status(mm_free(base, 0x1000, MEM_DECOMMIT, NULL), STATUS_UNABLE_TO_DELETE_SECTION);
    assert_status(mm_free(mm_view_base(view), 0, MEM_RELEASE, NULL),
                  STATUS_UNABLE_TO_DELETE_SECTION);
    assert_int_equal(nt_status_to_win32(STATUS_UNABLE_TO_DELETE_SECTION), 87);
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* What is protected in an open view comes true when it is sealed. */
static void protect_on_open_view(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    uint64_t base = mm_view_base(view) + DATA, size = 0x1000;
    uint32_t old;

    assert_status(mm_protect(&base, &size, PAGE_READONLY, &old, NULL), STATUS_SUCCESS);
    assert_true(test_writable(test_at(view, DATA)));
    test_seal(view);
    assert_false(test_writable(test_at(view, DATA)));
    assert_int_equal(test_protect_of(view, DATA), PAGE_READONLY);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void host_anonymous(void **state)
{
    uint8_t *pages =
        mmap(NULL, 3 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t base = test_address(pages);
    struct mm_region region;

    assert_int_equal(mprotect(pages + TEST_PAGE, TEST_PAGE, PROT_READ), 0);
    region = test_query(base + TEST_PAGE + 5);
    assert_region(region, base + TEST_PAGE, TEST_PAGE, PAGE_READONLY);
    assert_int_equal(region.state, MEM_COMMIT);
    assert_int_equal(region.type, MEM_PRIVATE);
    assert_int_equal(region.backing, MM_BACKING_PAGING_FILE);
    assert_int_equal(mprotect(pages + TEST_PAGE, TEST_PAGE, PROT_NONE), 0);
    region = test_query(base + TEST_PAGE);
    assert_region(region, base + TEST_PAGE, TEST_PAGE, 0);
    assert_int_equal(region.state, MEM_RESERVE);
    assert_int_equal(munmap(pages + TEST_PAGE, TEST_PAGE), 0);
    region = test_query(base + TEST_PAGE);
    assert_region(region, base + TEST_PAGE, TEST_PAGE, PAGE_NOACCESS);
    assert_int_equal(region.state, MEM_FREE);
    assert_int_equal(region.type, 0);
    assert_int_equal(region.allocation_base, 0);
    munmap(pages, 3 * TEST_PAGE);
}

/* One file, two mappings side by side: one allocation, as a mapped file has on Windows. */
static void host_file(void **state)
{
    uint8_t content[3 * TEST_PAGE] = {0};
    struct mm_region region;
    uint8_t *pages;
    uint64_t base;
    int fd;

    tempdir_write("data", content, sizeof(content));
    fd = open(tempdir_path("data"), O_RDWR | O_CLOEXEC);
    pages = mmap(NULL, sizeof(content), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    base = test_address(pages);
    assert_int_equal(mprotect(pages, TEST_PAGE, PROT_READ), 0);
    pages[2 * TEST_PAGE] = 1;
    region = test_query(base);
    assert_region(region, base, TEST_PAGE, PAGE_READONLY);
    assert_int_equal(region.type, MEM_MAPPED);
    assert_int_equal(region.backing, MM_BACKING_DATA_FILE);
    region = test_query(base + TEST_PAGE);
    assert_region(region, base + TEST_PAGE, TEST_PAGE, PAGE_WRITECOPY);
    assert_int_equal(region.allocation_base, base);
    region = test_query(base + 2 * TEST_PAGE);
    assert_region(region, base + 2 * TEST_PAGE, TEST_PAGE, PAGE_READWRITE);
    assert_int_equal(region.backing, MM_BACKING_PAGING_FILE);
    munmap(pages, sizeof(content));
    pages = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    region = test_query(test_address(pages));
    assert_int_equal(region.protect, PAGE_READWRITE);
    assert_int_equal(region.type, MEM_MAPPED);
    munmap(pages, TEST_PAGE);
    close(fd);
}

static void code_and_stack(void **state)
{
    struct mm_region region = test_query((uint64_t)(uintptr_t)&code_and_stack);

    assert_int_equal(region.protect, PAGE_EXECUTE_READ);
    assert_int_equal(region.type, MEM_MAPPED);
    region = test_query(test_address(&region));
    assert_int_equal(region.protect, PAGE_READWRITE);
    assert_int_equal(region.type, MEM_PRIVATE);
}

/* The whole address space can be walked: regions touch and the last one ends where user space does.
 */
static void walk_everything(void **state)
{
    struct mm_section *section = sample();
    struct mm_view *view = test_map(section, 0);
    struct mm_region region;
    uint64_t at = 0;
    bool seen = false;
    unsigned steps = 0;

    while (nt_ok(mm_query(at, &region))) {
        assert_int_equal(region.base, at);
        assert_true(region.size != 0 && region.size % TEST_PAGE == 0);
        seen |= region.allocation_base == mm_view_base(view) && region.type == MEM_IMAGE;
        at += region.size;
        steps++;
    }
    assert_true(seen);
    assert_true(steps > 10);
    assert_true(at >= 0xFFFF0000u);
    assert_status(mm_query(UINT64_MAX, &region), STATUS_INVALID_PARAMETER);
    mm_view_unmap(view);
    assert_int_equal(test_query(0x10000000).state, MEM_FREE);
    mm_section_unref(section);
}

/* Many threads map, query and unmap at once; each sees its own view whole. */
static void *hammer(void *section)
{
    for (int i = 0; i < 200; i++) {
        struct mm_view *view = test_map(section, 0);
        struct mm_region region = test_query(mm_view_base(view) + DATA);

        assert_int_equal(region.allocation_base, mm_view_base(view));
        assert_int_equal(region.size, 0x6000);
        test_seal(view);
        mm_view_unmap(view);
    }
    return NULL;
}

static void threads(void **state)
{
    struct mm_section *section = sample();
    pthread_t thread[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hammer, section), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    mm_section_unref(section);
}

static int set_up(void **state)
{
    return tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_regions),
        cmocka_unit_test(written_pages),
        cmocka_unit_test(walk_by_section),
        cmocka_unit_test(gaps_are_reserved),
        cmocka_unit_test(protect_on_images),
        cmocka_unit_test(refused_on_images),
        cmocka_unit_test(protect_on_open_view),
        cmocka_unit_test(host_anonymous),
        cmocka_unit_test(host_file),
        cmocka_unit_test(code_and_stack),
        cmocka_unit_test(walk_everything),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
