/*
 * Exports: names, ordinals, holes, forwarders (facts 3.5; behaviours, Exports).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pe/exports.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

static const struct pebuild_export table[] = {
    {"beta", 7, 0x1010, NULL},          {"Alpha", 5, 0x1000, NULL},
    {"alias", 5, 0x1000, NULL},         {NULL, 8, 0x1020, NULL},
    {"fwd", 10, 0, "other.mod.target"}, {"outside", 11, 0xffffff00, NULL},
    {"ord", 12, 0, "other.#77"},
};

struct fixture {
    uint8_t *bytes;
    uint64_t size;
    struct pe_image image;
    struct pe_exports exports;
};

static void open_exports(struct fixture *f, struct pebuild *b)
{
    f->bytes = pebuild_finish(b, &f->size);
    struct pe_span span = {f->bytes, f->size};
    assert_status(pe_open(span, PE_LAYOUT_FILE, &f->image, NULL), STATUS_SUCCESS);
    assert_true(pe_exports_open(&f->image, &f->exports));
}

static struct pebuild *with_exports(unsigned flags, uint32_t base,
                                    const struct pebuild_export *exports, uint32_t count)
{
    struct pebuild *b = pebuild_new(flags);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_exports(b, "mod.dll", base, exports, count);
    return b;
}

static struct pe_str str(const char *text)
{
    return (struct pe_str){text, (uint32_t)strlen(text)};
}

static void is_str(struct pe_str s, const char *text)
{
    assert_non_null(s.ptr);
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void directory(void **state)
{
    for (unsigned flags = PEBUILD_DLL; flags <= (PEBUILD_DLL | PEBUILD_PE32_PLUS); flags += 2) {
        struct fixture f;
        open_exports(&f, with_exports(flags, 5, table, 7));
        is_str(f.exports.module_name, "mod.dll");
        assert_int_equal(f.exports.ordinal_base, 5);
        assert_int_equal(f.exports.function_count, 8);
        assert_int_equal(f.exports.name_count, 6);
        free(f.bytes);
    }
}

static void by_ordinal(void **state)
{
    static const struct {
        uint32_t ordinal, rva;
        const char *name; /* NULL: none */
        bool found;
    } rows[] = {
        {5, 0x1000, "Alpha", true},   {6, 0, NULL, false}, {7, 0x1010, "beta", true},
        {8, 0x1020, NULL, true},      {9, 0, NULL, false}, {11, 0xffffff00, "outside", true},
        {13, 0, NULL, false},         {4, 0, NULL, false}, {0, 0, NULL, false},
        {UINT32_MAX, 0, NULL, false},
    };
    struct fixture f;
    open_exports(&f, with_exports(PEBUILD_DLL, 5, table, 7));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pe_export e;
        assert_int_equal(pe_export_by_ordinal(&f.exports, rows[i].ordinal, &e), rows[i].found);
        if (!rows[i].found)
            continue;
        assert_int_equal(e.rva, rows[i].rva);
        assert_int_equal(e.ordinal, rows[i].ordinal);
        assert_int_equal(e.index, rows[i].ordinal - 5);
        assert_null(e.forwarder.ptr);
        assert_null(e.name.ptr); /* a name is looked for by index only */
        assert_true(pe_export_by_index(&f.exports, e.index, &e));
        if (rows[i].name)
            is_str(e.name, rows[i].name);
        else
            assert_null(e.name.ptr);
    }
    free(f.bytes);
}

static void by_name(void **state)
{
    static const struct {
        const char *name;
        uint32_t ordinal; /* 0: not found */
    } rows[] = {
        {"beta", 7},  {"Alpha", 5}, {"alias", 5}, {"outside", 11}, {"fwd", 10},
        {"alpha", 0}, {"bet", 0},   {"betaa", 0}, {"", 0},         {"zzz", 0},
    };
    static const uint32_t hints[] = {0, 1, 5, 6, UINT32_MAX};
    struct fixture f;
    open_exports(&f, with_exports(PEBUILD_DLL | PEBUILD_PE32_PLUS, 5, table, 7));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t h = 0; h < sizeof(hints) / sizeof(hints[0]); h++) {
            struct pe_export e;
            bool found = pe_export_by_name(&f.exports, str(rows[i].name), hints[h], &e);
            assert_int_equal(found, rows[i].ordinal != 0);
            if (!found)
                continue;
            assert_int_equal(e.ordinal, rows[i].ordinal);
            is_str(e.name, rows[i].name);
        }
    free(f.bytes);
}

/* Of equal names the hinted one wins; without a hint that fits, some one of them is found. */
static void hint_chooses(void **state)
{
    static const struct pebuild_export same[] = {
        {"dup", 1, 0x1000, NULL}, {"dup", 2, 0x1001, NULL}, {"dup", 3, 0x1002, NULL}};
    struct fixture f;
    open_exports(&f, with_exports(PEBUILD_DLL, 1, same, 3));
    for (uint32_t hint = 0; hint < 3; hint++) {
        struct pe_export e, at;
        assert_true(pe_export_by_name(&f.exports, str("dup"), hint, &e));
        assert_int_equal(e.hint, hint);
        assert_true(pe_export_by_name_index(&f.exports, hint, &at));
        assert_int_equal(e.rva, at.rva);
    }
    free(f.bytes);
}

/* The search is binary: a name out of order is found by its hint only (behaviours, Exports). */
static void unsorted_names(void **state)
{
    static const struct pebuild_export three[] = {
        {"a", 1, 0x1000, NULL}, {"b", 2, 0x1001, NULL}, {"c", 3, 0x1002, NULL}};
    struct fixture f;
    struct pe_export e;
    uint64_t names;
    open_exports(&f, with_exports(PEBUILD_DLL, 1, three, 3));
    assert_true(pe_rva_to_offset(&f.image, f.exports.names_rva, &names));
    uint8_t first[4];
    memcpy(first, f.bytes + names, 4);
    memcpy(f.bytes + names, f.bytes + names + 8, 4);
    memcpy(f.bytes + names + 8, first, 4);
    assert_false(pe_export_by_name(&f.exports, str("a"), 0, &e));
    assert_true(pe_export_by_name(&f.exports, str("a"), 2, &e));
    assert_true(pe_export_by_name(&f.exports, str("b"), 0, &e));
    free(f.bytes);
}

static void forwarders(void **state)
{
    struct fixture f;
    struct pe_export e;
    struct pe_str module, name;
    uint16_t ordinal = 0;
    open_exports(&f, with_exports(PEBUILD_DLL, 5, table, 7));
    assert_true(pe_export_by_ordinal(&f.exports, 10, &e));
    is_str(e.forwarder, "other.mod.target");
    assert_true(pe_forwarder_split(e.forwarder, &module, &name, &ordinal));
    is_str(module, "other.mod");
    is_str(name, "target");
    assert_true(pe_export_by_ordinal(&f.exports, 12, &e));
    assert_true(pe_forwarder_split(e.forwarder, &module, &name, &ordinal));
    is_str(module, "other");
    assert_null(name.ptr);
    assert_int_equal(ordinal, 77);
    free(f.bytes);
}

/* The declared size of the directory decides what is a forwarder: here, none is. */
static void directory_size_decides(void **state)
{
    struct fixture f;
    struct pe_export e;
    struct pebuild *b = with_exports(PEBUILD_DLL, 5, table, 7);
    b->h.directory[IMAGE_DIRECTORY_ENTRY_EXPORT].size = 40;
    open_exports(&f, b);
    assert_true(pe_export_by_ordinal(&f.exports, 10, &e));
    assert_null(e.forwarder.ptr);
    free(f.bytes);
}

static void splitting(void **state)
{
    static const struct {
        const char *text, *module, *name;
        uint32_t ordinal;
    } rows[] = {
        {"NTDLL.RtlFree", "NTDLL", "RtlFree", 0},
        {"a.b.c", "a.b", "c", 0},
        {"api-ms-win-core-heap-l1-1-0.HeapFree", "api-ms-win-core-heap-l1-1-0", "HeapFree", 0},
        {"m.#0", "m", NULL, 0},
        {"m.#65535", "m", NULL, 65535},
        {"m.#65536", NULL, NULL, 0},
        {"m.#99999999999", NULL, NULL, 0},
        {"m.#", NULL, NULL, 0},
        {"m.#1x", NULL, NULL, 0},
        {"m.#-1", NULL, NULL, 0},
        {"m.", NULL, NULL, 0},
        {".n", NULL, NULL, 0},
        {"nodot", NULL, NULL, 0},
        {"", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pe_str module, name;
        uint16_t ordinal = 0;
        bool ok = pe_forwarder_split(str(rows[i].text), &module, &name, &ordinal);
        assert_int_equal(ok, rows[i].module != NULL);
        if (!ok)
            continue;
        is_str(module, rows[i].module);
        if (rows[i].name)
            is_str(name, rows[i].name);
        else
            assert_true(name.ptr == NULL && ordinal == rows[i].ordinal);
    }
}

static void iteration(void **state)
{
    static const struct {
        uint32_t ordinal;
        const char *name;
    } rows[] = {{5, "Alpha"}, {5, "alias"},    {7, "beta"}, {8, NULL},
                {10, "fwd"},  {11, "outside"}, {12, "ord"}};
    struct fixture f;
    struct pe_export e;
    open_exports(&f, with_exports(PEBUILD_DLL, 5, table, 7));
    struct pe_export_iter it = {.exports = &f.exports};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(pe_export_next(&it, &e));
        assert_int_equal(e.ordinal, rows[i].ordinal);
        if (rows[i].name)
            is_str(e.name, rows[i].name);
        else
            assert_null(e.name.ptr);
    }
    assert_false(pe_export_next(&it, &e));
    assert_false(pe_export_next(&it, &e));
    free(f.bytes);
}

/* More names than the iterator's window holds, in an order unlike that of the ordinals. */
static void iteration_over_windows(void **state)
{
    enum { COUNT = 3 * PE_EXPORT_WINDOW + 7 };
    struct pebuild_export *many = calloc(COUNT, sizeof(*many));
    char(*names)[16] = calloc(COUNT, 16);
    struct fixture f;
    struct pe_export e;
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(names[i], 16, "n%06u", (i * 7919u) % 1000003u);
        many[i] = (struct pebuild_export){names[i], 1 + i / 2, 0x1000 + i / 2, NULL};
    }
    open_exports(&f, with_exports(PEBUILD_DLL, 1, many, COUNT));
    struct pe_export_iter it = {.exports = &f.exports};
    uint32_t last = 0, last_hint = 0, seen = 0;
    while (pe_export_next(&it, &e)) {
        assert_true(e.ordinal > last || (e.ordinal == last && e.hint > last_hint));
        last = e.ordinal;
        last_hint = e.hint;
        seen++;
    }
    assert_int_equal(seen, COUNT);
    free(many);
    free(names);
    free(f.bytes);
}

/* Counts without substance are cut to what the image can hold, and cost nothing. */
static void absurd_counts(void **state)
{
    struct fixture f;
    struct pe_export e;
    open_exports(&f, with_exports(PEBUILD_DLL, 5, table, 7));
    uint64_t dir;
    assert_true(pe_rva_to_offset(&f.image, f.exports.dir.rva, &dir));
    pebuild_put32(f.bytes, dir + 20, UINT32_MAX);
    pebuild_put32(f.bytes, dir + 24, UINT32_MAX);
    assert_true(pe_exports_open(&f.image, &f.exports));
    assert_true(f.exports.function_count <= 0x1000 / 4 && f.exports.name_count <= 0x1000 / 4);
    assert_true(pe_export_by_ordinal(&f.exports, 7, &e) && e.rva == 0x1010);
    assert_false(pe_export_by_ordinal(&f.exports, 5 + 0x1000, &e));
    /* The rest of the directory may be garbage for a lookup by ordinal. */
    pebuild_put32(f.bytes, dir + 12, UINT32_MAX);
    pebuild_put32(f.bytes, dir + 32, UINT32_MAX);
    pebuild_put32(f.bytes, dir + 36, UINT32_MAX);
    assert_true(pe_exports_open(&f.image, &f.exports));
    assert_int_equal(f.exports.name_count, 0);
    assert_int_equal(f.exports.module_name.len, 0);
    assert_true(pe_export_by_ordinal(&f.exports, 7, &e) && !e.name.ptr);
    free(f.bytes);
}

/* A base of -2: ordinals wrap around 0. */
static void negative_base(void **state)
{
    static const struct pebuild_export exports[] = {
        {NULL, UINT32_MAX - 1, 0x1000, NULL}, {NULL, 0, 0x1002, NULL}, {"x", 1, 0x1003, NULL}};
    struct fixture f;
    struct pe_export e;
    open_exports(&f, with_exports(PEBUILD_DLL, UINT32_MAX - 1, exports, 3));
    assert_int_equal(f.exports.function_count, 4);
    assert_true(pe_export_by_ordinal(&f.exports, 0, &e) && e.rva == 0x1002);
    assert_true(pe_export_by_ordinal(&f.exports, 1, &e) && e.rva == 0x1003);
    assert_true(pe_export_by_ordinal(&f.exports, UINT32_MAX - 1, &e) && e.rva == 0x1000);
    assert_false(pe_export_by_ordinal(&f.exports, 2, &e));
    free(f.bytes);
}

/* A name over 128 KiB of any bytes, and the empty name (behaviours, Exports). */
static void unusual_names(void **state)
{
    uint32_t len = 130 * 1024;
    char *long_name = malloc(len + 1);
    memset(long_name, 0x81, len);
    long_name[len] = 0;
    const struct pebuild_export exports[] = {{"", 1, 0x1000, NULL}, {long_name, 2, 0x1001, NULL}};
    struct fixture f;
    struct pe_export e;
    open_exports(&f, with_exports(PEBUILD_DLL, 1, exports, 2));
    assert_true(pe_export_by_name(&f.exports, str(""), UINT32_MAX, &e) && e.ordinal == 1);
    assert_true(pe_export_by_name(&f.exports, str(long_name), UINT32_MAX, &e) && e.ordinal == 2);
    free(long_name);
    free(f.bytes);
}

static void absent(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXPORT, 0x1fe0, 40); /* crosses the image's end */
    uint64_t size;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image;
    struct pe_exports exports;
    assert_int_equal(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, NULL), 0);
    assert_false(pe_exports_open(&image, &exports));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory),
        cmocka_unit_test(by_ordinal),
        cmocka_unit_test(by_name),
        cmocka_unit_test(hint_chooses),
        cmocka_unit_test(unsorted_names),
        cmocka_unit_test(forwarders),
        cmocka_unit_test(directory_size_decides),
        cmocka_unit_test(splitting),
        cmocka_unit_test(iteration),
        cmocka_unit_test(iteration_over_windows),
        cmocka_unit_test(absurd_counts),
        cmocka_unit_test(negative_base),
        cmocka_unit_test(unusual_names),
        cmocka_unit_test(absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
