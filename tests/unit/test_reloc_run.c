/*
 * Fixups in runs are what fixups one by one are: random blocks against a model that knows no runs.
 */
#include "tests/unit/reloc_image.h"

enum { DATA = 0x1000, PAGES = 6, RELOC = DATA + PAGES * 0x1000, MOST_WORDS = 0x800 };
enum { ABSOLUTE = 0, HIGH = 1, HIGHLOW = 3, DIR64 = 10 };

static int64_t delta = 0x123450000;

/* ---- the model ---- */

struct model {
    uint8_t *bytes;
    uint32_t size, fixups[RELOC_TYPE_COUNT], withheld;
    uint32_t pages[PAGES + 16];
};

static uint64_t get(const uint8_t *bytes, uint32_t width)
{
    uint64_t value = 0;
    for (uint32_t i = width; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint32_t width_of(uint32_t type)
{
    return type == DIR64 ? 8 : type == HIGHLOW ? 4 : type == HIGH ? 2 : 0;
}

static void model_fixup(struct model *m, uint32_t rva, uint32_t type)
{
    uint32_t width = width_of(type);
    m->fixups[type]++;
    if (width == 0 || (rva < m->withheld + 0x1000 && m->withheld < rva + width))
        return;
    uint64_t value = get(m->bytes + rva, width) + (uint64_t)(type == HIGH ? delta >> 16 : delta);
    for (uint32_t i = 0; i < width; i++)
        m->bytes[rva + i] = (uint8_t)(value >> 8 * i);
    for (uint32_t page = rva / 0x1000; page <= (rva + width - 1) / 0x1000; page++)
        m->pages[page]++;
}

static void model_apply(struct model *m, uint32_t at, uint32_t end)
{
    while (at < end) {
        uint32_t page = (uint32_t)get(m->bytes + at, 4);
        uint32_t block_end = at + (uint32_t)get(m->bytes + at + 4, 4);
        for (at += 8; at < block_end; at += 2) {
            uint32_t entry = (uint32_t)get(m->bytes + at, 2);
            model_fixup(m, page + entry % 0x1000, entry >> 12);
        }
    }
}

/* ---- random blocks ---- */

/* Mostly DIR64 in rising order, as linkers write them, with others in between. */
static uint16_t random_entry(uint32_t *seed, uint32_t i)
{
    uint32_t dice = test_random(seed) % 64, offset = i * 8 % 0x1000;
    uint32_t type = dice < 48 ? DIR64 : dice < 56 ? HIGHLOW : dice < 60 ? ABSOLUTE : HIGH;
    if (dice % 16 == 3)
        offset = test_random(seed) % 0x1000;
    if (dice % 16 == 4)
        offset = 0xff8 + test_random(seed) % 8;
    return (uint16_t)(type << 12 | offset);
}

/* Fields of one width in a row, but for a few. */
static void random_rows(uint32_t *seed, uint16_t *entries, uint32_t count)
{
    uint32_t type = test_random(seed) % 2 ? DIR64 : HIGHLOW, offset = test_random(seed) % 0x1000;
    if (test_random(seed) % 4)
        offset &= ~7u;
    for (uint32_t i = 0; i < count; i++, offset += width_of(type)) {
        entries[i] = (uint16_t)(type << 12 | offset % 0x1000);
        if (test_random(seed) % 32 == 0)
            entries[i] = random_entry(seed, i);
        if (test_random(seed) % 32 == 0)
            offset += 4;
    }
}

/* Blocks over the data in any order; some pages come again, some PageRVAs are no page's. */
static uint32_t random_words(uint32_t *seed, uint16_t *words, uint32_t room)
{
    uint32_t used = 0;
    for (;;) {
        uint32_t count = 2 * (test_random(seed) % 150), page = test_random(seed) % (PAGES - 1);
        uint32_t rva = DATA + page * 0x1000;
        if (test_random(seed) % 8 == 0)
            rva += 0x123;
        if (used + 4 + count > room)
            return used;
        const uint16_t header[] = {(uint16_t)rva, (uint16_t)(rva >> 16), (uint16_t)(8 + 2 * count),
                                   0};
        memcpy(words + used, header, sizeof header);
        if (test_random(seed) % 2)
            random_rows(seed, words + used + 4, count);
        else
            for (uint32_t i = 0; i < count; i++)
                words[used + 4 + i] = random_entry(seed, i);
        used += 4 + count;
    }
}

static struct test_image make(uint32_t *seed)
{
    static uint8_t data[PAGES * 0x1000];
    static uint16_t words[MOST_WORDS];
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    for (uint32_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)test_random(seed);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, random_words(seed, words, MOST_WORDS));
    return test_image_make(b);
}

static bool outside_page(void *user, uint32_t rva, uint32_t len)
{
    uint32_t page = *(const uint32_t *)user;
    return rva + len <= page || rva >= page + 0x1000;
}

static void check_plan(const struct reloc_plan *plan, const struct model *m)
{
    uint32_t pages = 0;
    for (uint32_t i = 0; i < PAGES + 16; i++)
        pages += m->pages[i] != 0;
    assert_memory_equal(plan->fixups, m->fixups, sizeof m->fixups);
    assert_int_equal(plan->fixups_total, m->fixups[HIGH] + m->fixups[HIGHLOW] + m->fixups[DIR64]);
    assert_int_equal(plan->pages_dirtied, pages);
}

static void test_random_blocks(void **state)
{
    for (uint32_t round = 1; round <= 200; round++) {
        uint32_t seed = round, counts[PAGES + 16] = {0};
        struct test_image t = make(&seed);
        struct pe_directory dir = t.mapped.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
        struct model m = {.bytes = malloc(t.size), .size = t.size, .withheld = t.size};
        struct reloc_plan plan;
        if (round % 3 == 0)
            m.withheld = DATA + round % PAGES * 0x1000;
        memcpy(m.bytes, t.bytes, t.size);
        model_apply(&m, dir.rva, dir.rva + dir.size);
        if (m.withheld == t.size) {
            uint64_t to = t.file.h.image_base + (uint64_t)delta;
            assert_int_equal(reloc_plan(&t.file, to, counts, PAGES + 16, &plan, NULL),
                             STATUS_SUCCESS);
            check_plan(&plan, &m);
            assert_memory_equal(counts, m.pages, sizeof counts);
        }
        assert_int_equal(reloc_apply(&t.mapped, delta, outside_page, &m.withheld, &plan, NULL),
                         STATUS_SUCCESS);
        check_plan(&plan, &m);
        assert_memory_equal(t.bytes, m.bytes, t.size);
        free(m.bytes);
        test_image_free(&t);
    }
}

/* A run in the page that holds it: its first fixup makes the third one fix up another field. */
static void test_a_run_may_patch_itself(void **state)
{
    const uint16_t words[] = {
        RELOC, 0, 16, 0, HIGHLOW << 12 | 10, HIGHLOW << 12 | 0x100, HIGHLOW << 12 | 0x200, 0,
    };
    static const uint8_t data[PAGES * 0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, 8);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x1000);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    assert_int_equal(t.mapped.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].rva, RELOC);
    /* The field is the two entries at +10 and +12: 0x40000 makes 0x3204 of the upper one. */
    assert_int_equal(reloc_apply(&t.mapped, 0x40000, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(plan.fixups[HIGHLOW], 3);
    assert_int_equal(get(t.bytes + RELOC + 12, 2), HIGHLOW << 12 | 0x204);
    assert_int_equal(get(t.bytes + RELOC + 0x200, 4), 0);
    assert_int_equal(get(t.bytes + RELOC + 0x204, 4), 0x40000);
    test_image_free(&t);
}

/* The same in a row: each field is two of the entries behind it. */
static void test_a_row_may_patch_itself(void **state)
{
    uint16_t words[4 + 12] = {RELOC, 0, sizeof words, 0};
    static const uint8_t data[PAGES * 0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    struct reloc_plan plan;
    for (uint32_t i = 0; i < 12; i++)
        words[4 + i] = (uint16_t)(HIGHLOW << 12 | (0xa + 4 * i));
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, 16);
    struct test_image t = test_image_make(b);
    struct model m = {.bytes = malloc(t.size), .size = t.size, .withheld = t.size};
    struct pe_directory dir = t.mapped.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
    int64_t usual = delta;
    delta = 0x10001;
    memcpy(m.bytes, t.bytes, t.size);
    model_apply(&m, dir.rva, dir.rva + dir.size);
    assert_int_equal(reloc_apply(&t.mapped, delta, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
    delta = usual;
    assert_memory_equal(t.bytes, m.bytes, t.size);
    assert_int_equal(get(t.bytes + dir.rva + 12, 2), HIGHLOW << 12 | (0xa + 4 * 2 + 1));
    free(m.bytes);
    test_image_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_blocks),
        cmocka_unit_test(test_a_run_may_patch_itself),
        cmocka_unit_test(test_a_row_may_patch_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
