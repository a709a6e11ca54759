/*
 * Who looks after the memory is told of runs of pages before they are written: what is told comes
 * true, and nothing was written there before.
 */
#include "tests/unit/reloc_image.h"

enum { DATA = 0x1000, PAGES = 24, MOST_WORDS = 0x1000, MOST_RUNS = 64 };
enum { ABSOLUTE = 0, HIGHLOW = 3, DIR64 = 10 };

struct told {
    const struct test_image *image;
    uint8_t *before;
    uint32_t at_once; /* bytes that are dealt with in one call */
    uint32_t count;
    struct {
        uint32_t rva, len;
    } runs[MOST_RUNS];
    bool pages[PAGES * 2];
};

static uint32_t prepare(void *user, uint32_t rva, uint32_t len)
{
    struct told *told = user;
    uint32_t done = len < told->at_once ? len : told->at_once;
    assert_int_equal(rva % 0x1000, 0);
    assert_int_equal(len % 0x1000, 0);
    assert_memory_equal(told->image->bytes + rva, told->before + rva, len);
    for (uint32_t page = rva / 0x1000; page < (rva + done) / 0x1000; page++) {
        assert_false(told->pages[page]);
        told->pages[page] = true;
    }
    assert_true(told->count < MOST_RUNS);
    told->runs[told->count].rva = rva;
    told->runs[told->count++].len = len;
    return done;
}

/* DATA's page 3 belongs to others. */
static bool is_ours(void *user, uint32_t rva, uint32_t len)
{
    return rva + len <= DATA + 0x3000 || rva >= DATA + 0x4000;
}

static nt_status apply(struct told *told, struct reloc_plan *plan)
{
    const struct reloc_memory memory = {told, is_ours, prepare};
    told->before = malloc(told->image->size);
    memcpy(told->before, told->image->bytes, told->image->size);
    return reloc_apply_in(&told->image->mapped, 0x123456780000, &memory, plan, NULL);
}

static bool differs(const struct told *told, uint32_t page)
{
    return memcmp(told->image->bytes + page * 0x1000, told->before + page * 0x1000, 0x1000) != 0;
}

static struct test_image make(const uint16_t *words, uint32_t count)
{
    static const uint8_t data[PAGES * 0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, count);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x1000);
    return test_image_make(b);
}

static uint32_t put_block(uint16_t *words, uint32_t rva, uint16_t first, uint16_t second)
{
    const uint16_t block[] = {(uint16_t)rva, (uint16_t)(rva >> 16), 12, 0, first, second};
    memcpy(words, block, sizeof block);
    return 6;
}

/* ---- which runs ---- */

static const struct {
    uint32_t page;
    uint16_t first, second;
} blocks[] = {
    {0, DIR64 << 12, 0},       {1, HIGHLOW << 12 | 8, 0},
    {1, DIR64 << 12 | 16, 0},                                          /* the same page again */
    {2, DIR64 << 12, 0},       {3, DIR64 << 12, 0},                    /* withheld */
    {4, DIR64 << 12, 0},       {5, DIR64 << 12, DIR64 << 12 | 0xffc},  /* and into page 6 */
    {6, DIR64 << 12 | 32, 0},  {7, 0, 0},                              /* padding only */
    {9, DIR64 << 12, 0},       {10, DIR64 << 12, DIR64 << 12 | 0xffc}, /* into page 11 */
    {8, DIR64 << 12, 0},                                               /* backwards */
    {11, DIR64 << 12 | 32, 0}, {12, DIR64 << 12, 0},
};

static void check_runs(uint32_t at_once, const uint32_t (*expected)[2], uint32_t count)
{
    uint16_t words[sizeof blocks / sizeof *blocks * 6];
    uint32_t used = 0;
    struct reloc_plan plan;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        used += put_block(words + used, DATA + blocks[i].page * 0x1000, blocks[i].first,
                          blocks[i].second);
    struct test_image t = make(words, used);
    struct told told = {.image = &t, .at_once = at_once};
    assert_int_equal(apply(&told, &plan), STATUS_SUCCESS);
    assert_int_equal(told.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(told.runs[i].rva, DATA + expected[i][0] * 0x1000);
        assert_int_equal(told.runs[i].len, expected[i][1] * 0x1000);
    }
    assert_int_equal(plan.pages_dirtied, 11);
    assert_false(differs(&told, 1 + 3));
    assert_false(differs(&told, 1 + 7));
    free(told.before);
    test_image_free(&t);
}

static void test_runs(void **state)
{
    static const uint32_t whole[][2] = {{0, 3}, {4, 3}, {9, 2}, {12, 1}};
    static const uint32_t in_parts[][2] = {{0, 3}, {1, 2}, {2, 1},  {4, 3},
                                           {5, 2}, {9, 2}, {10, 1}, {12, 1}};
    check_runs(UINT32_MAX, whole, 4);
    /* A page at a time: page 6 has been written to from page 5 before its turn. */
    check_runs(0x1000, in_parts, 8);
}

/* ---- anything ---- */

static uint32_t random_words(uint32_t *seed, uint16_t *words, uint32_t room)
{
    uint32_t used = 0, page = 0;
    while (used + 6 <= room && used < 6u * 3 * PAGES) {
        uint32_t dice = test_random(seed) % 16, type = dice % 4 ? DIR64 : HIGHLOW;
        uint32_t offset = dice == 5 ? 0xffd : dice * 16;
        page = dice < 13 ? page + 1 : test_random(seed) % PAGES;
        if (page >= PAGES + 1) /* the fixups themselves are on page PAGES */
            page = 0;
        used += put_block(words + used, DATA + page * 0x1000, (uint16_t)(type << 12 | offset),
                          (uint16_t)(dice == 7 ? 0 : type << 12 | 0x800));
    }
    return used;
}

static void test_what_is_told_comes_true(void **state)
{
    static uint16_t words[MOST_WORDS];
    uint32_t accepted = 0, runs = 0;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        uint32_t random = seed;
        struct test_image t = make(words, random_words(&random, words, MOST_WORDS));
        struct told told = {.image = &t, .at_once = 0x1000 * (1 + seed % 4)};
        struct reloc_plan plan;
        if (nt_ok(apply(&told, &plan))) { /* else a block was spoilt by another */
            accepted++;
            runs += told.count;
            for (uint32_t page = 0; page < PAGES * 2; page++)
                assert_true(!told.pages[page] || differs(&told, page));
        }
        free(told.before);
        test_image_free(&t);
    }
    assert_true(accepted > 100 && runs > accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_what_is_told_comes_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
