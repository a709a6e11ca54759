/*
 * Image sections through MapViewOfFile: relocated or not, unmapped by any address (facts 2.3), and
 * modules of the loader, which are not.
 */
#include "loader/mm/data.h"
#include "tests/unit/mm_test.h"

#define BASE  0x48000000u
#define OTHER 0x49000000u

enum { FIXUP = 0x1010, SHARED = 0x2000 };

/* A DLL that prefers BASE, with one fixup in its code and one in a SHARED PE section. */
static struct mm_section *image(uint16_t dll_characteristics, uint16_t characteristics)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    uint8_t text[0x20] = {0xC3}, shared[0x10] = {0};

    b->h.image_base = BASE;
    b->h.dll_characteristics = dll_characteristics;
    b->h.characteristics |= characteristics;
    pebuild_put32(text, 0x10, BASE + 0x1000);
    pebuild_put32(shared, 4, BASE + 0x2000);
    pebuild_section(b, ".text", PEBUILD_TEXT, text, sizeof(text), 0);
    pebuild_section(b, "Shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, shared, sizeof(shared), 0);
    pebuild_fixup(b, FIXUP, 3);
    pebuild_fixup(b, SHARED + 4, 3);
    pebuild_relocs(b);
    return test_section(b);
}

static uint32_t word_at(uint64_t base, uint32_t rva)
{
    uint32_t word;

    memcpy(&word, test_ptr(base + rva), sizeof(word));
    return word;
}

static uint32_t shown_base(uint64_t base)
{
    return word_at(base, word_at(base, 0x3C) + 0x34);
}

static nt_status map(struct mm_section *section, uint64_t wanted, uint64_t *base)
{
    struct mm_image_map how = {.base = wanted, .shared_fd = -1};
    uint64_t size = 0;
    nt_status status = mm_image_map(section, &how, base, &size, NULL);

    if (nt_ok(status))
        assert_int_equal(size, mm_section_size(section));
    return status;
}

static void unmap(uint64_t address)
{
    assert_status(mm_unmap_view(address, NULL), STATUS_SUCCESS);
}

static void at_its_base(void **state)
{
    struct mm_section *section = image(IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, 0);
    struct mm_region region;
    uint64_t base;
    char name[32];

    assert_status(map(section, 0, &base), STATUS_SUCCESS);
    assert_int_equal(base, BASE);
    region = test_query(base + 0x1000);
    assert_int_equal(region.type, MEM_IMAGE);
    assert_int_equal(region.protect, PAGE_EXECUTE_READ);
    assert_int_equal(region.allocation_protect, PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(region.pages_shared, 1);
    assert_false(test_writable(test_ptr(base + 0x1000)));
    assert_true(mm_region_name(base + 0x1000, name, sizeof(name)));
    assert_string_equal(name, "test.dll");
    assert_true(mm_is_allocation(base + 0x1000));
    unmap(base + 0x2FFF);
    assert_int_equal(test_query(base).state, MEM_FREE);
    mm_section_unref(section);
}

/* The base is taken: what becomes of the fixup and of the base that the header shows. */
static void moved(void **state)
{
    static const struct {
        uint16_t dll_characteristics, characteristics;
        nt_status status;
        bool relocated;
    } rows[] = {
        {IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, 0, STATUS_SUCCESS, true},
        {0, 0, STATUS_IMAGE_NOT_AT_BASE, false},
        {IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, IMAGE_FILE_RELOCS_STRIPPED,
         STATUS_IMAGE_NOT_AT_BASE, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mm_section *section = image(rows[i].dll_characteristics, rows[i].characteristics);
        uint64_t first, second, third;
        uint32_t delta;

        assert_status(map(section, 0, &first), STATUS_SUCCESS);
        assert_status(map(section, 0, &second), rows[i].status);
        assert_true(second < 0x100000000);
        delta = rows[i].relocated ? (uint32_t)(second - BASE) : 0;
        assert_int_equal(word_at(first, FIXUP), BASE + 0x1000);
        assert_int_equal(word_at(second, FIXUP), BASE + 0x1000 + delta);
        assert_int_equal(word_at(second, SHARED + 4), BASE + 0x2000 + delta);
        assert_int_equal(shown_base(first), BASE);
        assert_int_equal(shown_base(second), BASE + delta);
        /* Exactly there or not at all. */
        assert_status(map(section, OTHER, &third), rows[i].status);
        assert_int_equal(third, OTHER);
        unmap(third);
        assert_status(map(section, BASE, &third), STATUS_CONFLICTING_ADDRESSES);
        assert_status(map(section, BASE + 0x1000, &third), STATUS_MAPPED_ALIGNMENT);
        unmap(second + 5);
        unmap(first);
        mm_section_unref(section);
    }
}

static void below_a_limit(void **state)
{
    struct mm_section *section = image(0, 0);
    struct mm_image_map how = {.shared_fd = -1, .limit = 0x60000000};
    uint64_t first, second, size;

    assert_status(map(section, 0, &first), STATUS_SUCCESS);
    assert_status(mm_image_map(section, &how, &second, &size, NULL), STATUS_IMAGE_NOT_AT_BASE);
    assert_true(second + size <= how.limit);
    unmap(first);
    unmap(second);
    mm_section_unref(section);
}

static void count_release(void *user)
{
    ++*(int *)user;
}

/* SHARED pages come from the caller's backing; who made its content relocates it. */
static void shared_pages(void **state)
{
    struct mm_section *section = image(IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, 0);
    int released = 0;
    struct mm_image_map how = {.base = OTHER, .release = count_release, .user = &released};
    uint64_t one, two, size;

    assert_status(mm_host_memory("peldr:shared", mm_section_shared_size(section), false,
                                 &how.shared_fd, NULL),
                  STATUS_SUCCESS);
    assert_status(mm_section_write_shared(section, how.shared_fd, NULL), STATUS_SUCCESS);
    assert_status(mm_image_map(section, &how, &one, &size, NULL), STATUS_SUCCESS);
    assert_int_equal(word_at(one, SHARED + 4), BASE + 0x2000);
    how.base = OTHER + 0x100000;
    how.owns_shared = true;
    assert_status(mm_image_map(section, &how, &two, &size, NULL), STATUS_SUCCESS);
    assert_int_equal(word_at(two, SHARED + 4), OTHER + 0x102000);
    assert_int_equal(word_at(one, SHARED + 4), OTHER + 0x102000);
    *(uint8_t *)test_ptr(one + SHARED) = 0x11;
    assert_int_equal(*(uint8_t *)test_ptr(two + SHARED), 0x11);
    assert_int_equal(test_query(two + SHARED).backing, MM_BACKING_SHARED_SECTION);
    unmap(one);
    assert_int_equal(released, 1);
    assert_status(mm_image_map(section, &how, &one, &size, NULL), STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(released, 1);
    unmap(two);
    assert_int_equal(released, 2);
    close(how.shared_fd);
    mm_section_unref(section);
}

static void views_of_the_loader(void **state)
{
    struct mm_section *section = image(0, 0);
    struct mm_view *view = test_map(section, 0);
    uint64_t at = mm_view_base(view) + 0x1234, size = 0;
    struct pe_error err = {0};

    test_seal(view);
    assert_status(mm_unmap_view(at, &err), STATUS_NOT_SUPPORTED);
    assert_non_null(strstr(err.text, "lies in a module"));
    assert_int_equal(test_query(at).type, MEM_IMAGE);
    assert_false(mm_is_allocation(at));
    /* Flushing one is no failure, and nothing is written. */
    assert_status(mm_flush_view(&at, &size, NULL), STATUS_SUCCESS);
    assert_int_equal(size, mm_view_size(view) - 0x1000);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void nothing_leaks(void **state)
{
    struct mm_section *section = image(IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, 0);
    unsigned fds = test_fd_count(), mappings = test_mapping_count();
    uint64_t base;

    for (int i = 0; i < 200; i++) {
        assert_status(map(section, i % 2 ? OTHER : 0, &base), STATUS_SUCCESS);
        unmap(base);
    }
    assert_int_equal(test_fd_count(), fds);
    assert_int_equal(test_mapping_count(), mappings);
    mm_section_unref(section);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_its_base),         cmocka_unit_test(moved),
        cmocka_unit_test(below_a_limit),       cmocka_unit_test(shared_pages),
        cmocka_unit_test(views_of_the_loader), cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
