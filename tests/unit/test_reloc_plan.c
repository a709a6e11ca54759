/*
 * Plans: which situations need, allow or refuse relocation (facts 2.3, loader-rules stage 3), and
 * what is counted: fixups by type, pages exactly, in any order and for images of any size.
 */
#include "tests/unit/reloc_image.h"

static const uint64_t moved_by = 0x30000;

static nt_status plan_moved(const struct test_image *t, struct reloc_plan *plan,
                            struct pe_error *err)
{
    return reloc_plan(&t->file, t->file.h.image_base + moved_by, NULL, 0, plan, err);
}

/* ---- outcomes
 * ------------------------------------------------------------------------------------ */

enum directory { NO_DIRECTORY, EMPTY, SIZE_WITHOUT_RVA, ONE_FIXUP, OUTSIDE };

struct situation {
    const char *what;
    uint64_t base; /* 0 = the builder's */
    enum directory directory;
    bool stripped, flat;
    uint64_t delta;
    enum reloc_outcome outcome;
    nt_status status;
    uint32_t fixups;
    const char *clue; /* in the reason */
};

static const struct situation situations[] = {
    {"at its base", 0, ONE_FIXUP, false, false, 0, RELOC_NOT_NEEDED, 0, 0, "preferred base"},
    {"at its base, stripped", 0, NO_DIRECTORY, true, false, 0, RELOC_NOT_NEEDED, 0, 0,
     "preferred base"},
    {"moved", 0, ONE_FIXUP, false, false, 0x30000, RELOC_APPLIED, 0, 1,
     "not at its preferred base"},
    {"moved, /FIXED", 0, NO_DIRECTORY, true, false, 0x30000, RELOC_REFUSED,
     (nt_status)STATUS_CONFLICTING_ADDRESSES, 0, "stripped"},
    {"moved, stripped wins over a directory", 0, ONE_FIXUP, true, false, 0x30000, RELOC_REFUSED,
     (nt_status)STATUS_CONFLICTING_ADDRESSES, 0, "stripped"},
    {"moved, nothing to fix up", 0, NO_DIRECTORY, false, false, 0x30000, RELOC_APPLIED, 0, 0,
     "no fixups"},
    {"moved, empty directory", 0, EMPTY, false, false, 0x30000, RELOC_APPLIED, 0, 0, "no fixups"},
    {"moved, size without address", 0, SIZE_WITHOUT_RVA, false, false, 0x30000, RELOC_REFUSED,
     (nt_status)STATUS_CONFLICTING_ADDRESSES, 0, "no address"},
    {"moved, directory outside", 0, OUTSIDE, false, false, 0x30000, RELOC_REFUSED,
     (nt_status)STATUS_INVALID_IMAGE_FORMAT, 0, "outside"},
    {"flat", 0, ONE_FIXUP, false, true, 0x30000, RELOC_NOT_NEEDED, 0, 0, "flat"},
    {"flat and stripped", 0, ONE_FIXUP, true, true, 0x30000, RELOC_NOT_NEEDED, 0, 0, "flat"},
    /* behaviours, "Relocations and image base": a base in kernel space moves to 0x10000 */
    {"kernel base, stripped with fixups", 0xc0000000, ONE_FIXUP, true, false,
     0x10000 - 0xc0000000ull, RELOC_APPLIED, 0, 1, "not at its preferred base"},
    {"kernel base, no directory", 0xc0000000, NO_DIRECTORY, false, false, 0x10000 - 0xc0000000ull,
     RELOC_APPLIED, 0, 0, "no fixups"},
    {"kernel base, stripped, no directory", 0xc0000000, NO_DIRECTORY, true, false,
     0x10000 - 0xc0000000ull, RELOC_REFUSED, (nt_status)STATUS_CONFLICTING_ADDRESSES, 0,
     "stripped"},
};

static struct test_image make_situation(const struct situation *s)
{
    static const uint8_t data[64];
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    if (s->flat)
        b->h.section_alignment = b->h.file_alignment = 0x200;
    if (s->base)
        b->h.image_base = s->base;
    if (s->stripped)
        b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    uint32_t i = pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_pointer_fixup(b, b->sections[i].virtual_address);
    pebuild_relocs(b);
    struct pe_directory *dir = &b->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
    if (s->directory == NO_DIRECTORY || s->directory == SIZE_WITHOUT_RVA)
        dir->rva = 0;
    if (s->directory == NO_DIRECTORY || s->directory == EMPTY)
        dir->size = 0;
    if (s->directory == OUTSIDE)
        dir->rva = b->h.size_of_image + 0x1000;
    return test_image_make(b);
}

static void test_outcomes(void **state)
{
    for (size_t i = 0; i < sizeof situations / sizeof situations[0]; i++) {
        const struct situation *s = &situations[i];
        struct test_image t = make_situation(s);
        struct reloc_plan plan, applied;
        struct pe_error err = {0};
        uint64_t preferred = t.file.h.image_base;
        print_message("%s\n", s->what);

        assert_int_equal(reloc_plan(&t.file, preferred + s->delta, NULL, 0, &plan, &err),
                         s->status);
        assert_int_equal(plan.status, s->status);
        assert_int_equal(plan.outcome, s->outcome);
        assert_int_equal(plan.fixups_total, s->fixups);
        assert_int_equal(plan.pages_dirtied, s->fixups);
        assert_int_equal(plan.preferred_base, preferred);
        assert_int_equal(plan.actual_base, preferred + s->delta);
        assert_int_equal(plan.delta, s->delta);
        assert_non_null(strstr(plan.reason, s->clue));
        assert_int_equal(err.status, s->status); /* a refusal is told, a success is not */
        if (s->status)
            assert_non_null(strstr(err.text, plan.reason));
        /* applying agrees */
        assert_int_equal(reloc_apply(&t.mapped, (int64_t)s->delta, NULL, NULL, &applied, NULL),
                         s->status);
        assert_int_equal(applied.outcome, s->outcome);
        assert_string_equal(applied.reason, plan.reason);
        test_image_free(&t);
    }
}

static void test_directory_beyond_number_of_rva_and_sizes(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".data", PEBUILD_DATA, "0123456789", 10, 0);
    pebuild_pointer_fixup(b, 0x1000);
    pebuild_relocs(b);
    b->h.number_of_rva_and_sizes =
        IMAGE_DIRECTORY_ENTRY_BASERELOC; /* the one before it is the last */
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    assert_int_equal(plan_moved(&t, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(plan.outcome, RELOC_APPLIED);
    assert_int_equal(plan.fixups_total, 0);
    test_image_free(&t);
}

static void test_pe32_stays_below_4gib(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".data", PEBUILD_DATA, "0123456789", 10, 0);
    pebuild_pointer_fixup(b, 0x1000);
    pebuild_relocs(b);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    const uint64_t top = 0x100000000u - t.size;
    assert_int_equal(reloc_plan(&t.file, top, NULL, 0, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(reloc_plan(&t.file, top + 0x1000, NULL, 0, &plan, NULL),
                     (nt_status)STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(plan.outcome, RELOC_REFUSED);
    assert_non_null(strstr(plan.reason, "4 GiB"));
    test_image_free(&t);
}

/* ---- fixups that are refused
 * --------------------------------------------------------------------- */

struct place {
    uint32_t rva;
    uint8_t type;
    const char *rule; /* NULL = allowed */
};

/* The image is headers, .data at 0x1000 and .reloc at 0x2000: 0x3000 bytes; e_lfanew is 0x80. */
static const struct place places[] = {
    {0x2ffc, 3, NULL},
    {0x2ffd, 3, "reloc.inside"},
    {0x2ff8, 10, NULL},
    {0x2ff9, 10, "reloc.inside"},
    {0x3000, 1, "reloc.inside"},
    {0xfffff000, 3, "reloc.inside"},
    {0xffffffff, 10, "reloc.inside"},
    {0x9000, 0, NULL}, /* padding writes nothing, wherever it is */
    {0, 1, "reloc.headers"},
    {1, 1, "reloc.headers"},
    {2, 1, NULL},
    {0x38, 3, NULL},
    {0x39, 3, "reloc.headers"},
    {0x3f, 1, "reloc.headers"},
    {0x40, 3, NULL},
    {0x79, 10, "reloc.headers"},
    {0x78, 10, NULL},
    {0x83, 3, "reloc.headers"},
    {0x84, 3, NULL},
    {0xb4, 3, NULL}, /* ImageBase itself may be fixed up (behaviours) */
    {0, 0, NULL},
};

static void test_places(void **state)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const struct place *p = &places[i];
        const uint32_t page = p->rva & ~0xfffu;
        const uint16_t words[] = {(uint16_t)page,
                                  (uint16_t)(page >> 16),
                                  12,
                                  0,
                                  (uint16_t)(p->type << 12 | (p->rva & 0xfff)),
                                  0};
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0);
        test_reloc_section(b, words, 6);
        struct test_image t = test_image_make(b);
        struct reloc_plan plan;
        struct pe_error err = {0};
        nt_status expected = p->rule ? (nt_status)STATUS_INVALID_IMAGE_FORMAT : STATUS_SUCCESS;
        print_message("type %u at 0x%x\n", p->type, p->rva);
        assert_int_equal(plan_moved(&t, &plan, &err), expected);
        assert_int_equal(plan.outcome, p->rule ? RELOC_REFUSED : RELOC_APPLIED);
        if (p->rule)
            assert_string_equal(err.rule, p->rule);
        assert_int_equal(reloc_apply(&t.mapped, moved_by, NULL, NULL, &plan, NULL), expected);
        test_image_free(&t);
    }
}

static void test_malformed_blocks(void **state)
{
    static const struct {
        const char *what;
        uint16_t words[8];
        uint32_t count;
    } rows[] = {
        {"block size 0", {0x1000, 0, 0, 0, 0, 0}, 6},
        {"block smaller than its header", {0x1000, 0, 4, 0, 0, 0}, 6},
        {"odd block", {0x1000, 0, 11, 0, 0, 0}, 6},
        {"beyond the directory", {0x1000, 0, 16, 0, 0, 0}, 6},
        {"bytes left over", {0x1000, 0, 8, 0, 0, 0}, 6},
        {"HIGHADJ without its second entry", {0x1000, 0, 12, 0, 0, 0x4000}, 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0);
        test_reloc_section(b, rows[i].words, rows[i].count);
        struct test_image t = test_image_make(b);
        struct reloc_plan plan;
        struct pe_error err = {0};
        print_message("%s\n", rows[i].what);
        assert_int_equal(plan_moved(&t, &plan, &err), (nt_status)STATUS_INVALID_IMAGE_FORMAT);
        assert_string_equal(err.rule, "reloc.blocks");
        assert_int_equal(plan.fixups_total, 0);
        assert_int_equal(reloc_apply(&t.mapped, moved_by, NULL, NULL, &plan, NULL),
                         (nt_status)STATUS_INVALID_IMAGE_FORMAT);
        test_image_free(&t);
    }
}

/* A small file whose zero fill claims a giant directory full of padding. */
static void test_claimed_entries_are_bounded(void **state)
{
    const uint32_t directory = 0x10000000;
    const uint16_t words[] = {0, 0, 0, directory >> 16};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    test_reloc_section(b, words, 4);
    b->sections[0].virtual_size = directory;
    b->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size = directory;
    b->h.size_of_image = 0x1000 + directory;
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    struct pe_error err = {0};
    assert_int_equal(plan_moved(&t, &plan, NULL), (nt_status)STATUS_INVALID_IMAGE_FORMAT);
    assert_int_equal(reloc_apply(&t.mapped, moved_by, NULL, NULL, &plan, &err),
                     (nt_status)STATUS_INVALID_IMAGE_FORMAT);
    assert_string_equal(err.rule, "reloc.blocks");
    test_image_free(&t);
}

/* ---- counting
 * ------------------------------------------------------------------------------------ */

static void test_counts_by_type_and_page(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    static const uint8_t data[0x3000];
    uint32_t counts[5] = {0};
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_fixup(b, 0x1000, 10);
    pebuild_fixup(b, 0x1008, 10);
    pebuild_fixup(b, 0x1ffd, 10); /* into the next page */
    pebuild_fixup(b, 0x1100, 3);
    pebuild_fixup(b, 0x1200, 0); /* padding */
    pebuild_highadj(b, 0x3000, 0x1234);
    pebuild_relocs(b);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan, without, applied;

    uint64_t to = t.file.h.image_base + moved_by;
    assert_int_equal(reloc_plan(&t.file, to, counts, 5, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(plan.fixups[10], 3);
    assert_int_equal(plan.fixups[3], 1);
    assert_int_equal(plan.fixups[4], 1);
    assert_true(plan.fixups[0] >= 1);
    assert_int_equal(plan.fixups_total, 5);
    assert_int_equal(plan.pages_dirtied, 3);
    static const uint32_t expected[5] = {0, 4, 1, 1, 0};
    assert_memory_equal(counts, expected, sizeof counts);

    assert_int_equal(reloc_plan(&t.mapped, to, NULL, 0, &without, NULL), STATUS_SUCCESS);
    assert_memory_equal(&without, &plan, sizeof plan); /* either layout, with or without counters */
    assert_int_equal(reloc_apply(&t.mapped, moved_by, NULL, NULL, &applied, NULL), STATUS_SUCCESS);
    assert_memory_equal(&applied, &plan, sizeof plan);
    test_image_free(&t);
}

/* `page_count` smaller than the image: only those counters are touched. */
static void test_short_page_counts(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    static const uint8_t data[0x3000];
    uint32_t counts[3] = {0, 0, 77};
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_fixup(b, 0x1000, 3);
    pebuild_fixup(b, 0x2000, 3);
    pebuild_relocs(b);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    assert_int_equal(reloc_plan(&t.file, t.file.h.image_base + moved_by, counts, 2, &plan, NULL),
                     STATUS_SUCCESS);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 77);
    assert_int_equal(plan.pages_dirtied, 2);
    test_image_free(&t);
}

/* Blocks repeat and come in no order, over more pages than any fixed window is likely to hold. */
static void test_pages_are_exact_in_any_order(void **state)
{
    enum { BLOCKS = 300 };
    const uint32_t pages = 0x28000; /* 640 MiB */
    static uint16_t words[BLOCKS * 6];
    static uint8_t seen[0x28000];
    uint32_t seed = 3, distinct = 0;
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        /* clustered, so that pages come back; every fourth fixup crosses into the next page */
        uint32_t page = 2 + (test_random(&seed) % 5) * 0x7000 + test_random(&seed) % 50;
        bool crossing = i % 4 == 0;
        uint32_t rva = page * 0x1000;
        const uint16_t block[] = {(uint16_t)rva,
                                  (uint16_t)(rva >> 16),
                                  12,
                                  0,
                                  (uint16_t)(3 << 12 | (crossing ? 0xffe : 0)),
                                  0};
        memcpy(words + i * 6, block, sizeof block);
        for (uint32_t p = page; p <= page + crossing; p++) {
            distinct += !seen[p];
            seen[p] = 1;
        }
    }
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    test_reloc_section(b, words, BLOCKS * 6);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, pages * 0x1000 - pebuild_next_rva(b));
    struct test_image t = test_image_make(b);
    struct reloc_plan plan, applied;

    assert_int_equal(plan_moved(&t, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(plan.fixups_total, BLOCKS);
    assert_int_equal(plan.pages_dirtied, distinct);
    assert_int_equal(reloc_apply(&t.mapped, moved_by, NULL, NULL, &applied, NULL), STATUS_SUCCESS);
    assert_int_equal(applied.pages_dirtied, distinct);
    test_image_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_directory_beyond_number_of_rva_and_sizes),
        cmocka_unit_test(test_pe32_stays_below_4gib),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_malformed_blocks),
        cmocka_unit_test(test_claimed_entries_are_bounded),
        cmocka_unit_test(test_counts_by_type_and_page),
        cmocka_unit_test(test_short_page_counts),
        cmocka_unit_test(test_pages_are_exact_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
