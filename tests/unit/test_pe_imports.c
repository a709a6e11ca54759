/*
 * Imports, delay imports, bound imports (facts 3.4, 3.6; behaviours, Imports).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pe/imports.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

struct fixture {
    uint8_t *bytes;
    uint64_t size;
    struct pe_image image;
};

static void open_image(struct fixture *f, struct pebuild *b)
{
    f->bytes = pebuild_finish(b, &f->size);
    struct pe_span span = {f->bytes, f->size};
    assert_status(pe_open(span, PE_LAYOUT_FILE, &f->image, NULL), STATUS_SUCCESS);
}

/* The import list as text: "module(thunk:name/hint,thunk:#ordinal)" ..., "!" for malformed. */
static void describe(const struct pe_image *image, bool delay, char *text, size_t size)
{
    struct pe_import_module_iter it;
    struct pe_import_module m;
    size_t n = 0;
    int more = 0, inner;
    text[0] = 0;
    if (!(delay ? pe_delay_import_modules(image, &it) : pe_import_modules(image, &it)))
        return;
    while ((more = pe_import_module_next(&it, &m)) > 0) {
        struct pe_import_iter imports;
        struct pe_import i;
        n += (size_t)snprintf(text + n, size - n, "%.*s%s(", (int)m.name.len, m.name.ptr,
                              m.empty ? "?" : "");
        pe_imports(image, &m, &imports);
        while ((inner = pe_import_next(&imports, &i)) > 0) {
            uint32_t slot = (i.thunk_rva - m.iat_rva) / pe_pointer_size(image);
            if (i.by_ordinal)
                n += (size_t)snprintf(text + n, size - n, "%u:#%u ", slot, i.ordinal);
            else
                n += (size_t)snprintf(text + n, size - n, "%u:%.*s/%u ", slot, (int)i.name.len,
                                      i.name.ptr, i.hint);
        }
        n += (size_t)snprintf(text + n, size - n, "%s)", inner < 0 ? "!" : "");
        assert_int_equal(inner < 0, !nt_ok(imports.status));
    }
    assert_int_equal(more < 0, !nt_ok(it.status));
    assert_int_equal(pe_import_module_next(&it, &m), more); /* the end stays the end */
    if (more < 0)
        snprintf(text + n, size - n, "!");
}

static void is_described(const struct pe_image *image, bool delay, const char *expected)
{
    char text[512];
    describe(image, delay, text, sizeof(text));
    assert_string_equal(text, expected);
}

static struct pebuild *with_imports(unsigned flags)
{
    struct pebuild_import imports[] = {
        {.module = "KERNEL32.dll", .names = {"Sleep", "#65535", "ExitProcess"}, .hint = 9},
        {.module = "borland", .names = {"Only"}, .no_lookup_table = true},
        {.module = "nothing.dll", .names = {NULL}},
        {.module = "last.dll", .names = {"#0"}},
    };
    struct pebuild *b = pebuild_new(flags);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_imports(b, imports, 4);
    return b;
}

#define KERNEL32 "KERNEL32.dll(0:Sleep/9 1:#65535 2:ExitProcess/9 )"
#define BORLAND  "borland(0:Only/0 )"
#define LAST     "last.dll(0:#0 )"

static void both_forms(void **state)
{
    for (unsigned flags = 0; flags <= PEBUILD_PE32_PLUS; flags += PEBUILD_PE32_PLUS) {
        struct fixture f;
        open_image(&f, with_imports(flags));
        is_described(&f.image, false, KERNEL32 BORLAND "nothing.dll?()" LAST);
        is_described(&f.image, true, "");
        free(f.bytes);
    }
}

/* Before each step, and at the end. */
static void what_is_ahead(void **state)
{
    static const uint32_t counts[] = {3, 1, 0, 1};
    for (unsigned flags = 0; flags <= PEBUILD_PE32_PLUS; flags += PEBUILD_PE32_PLUS) {
        struct fixture f;
        struct pe_import_module_iter it;
        struct pe_import_module m;
        open_image(&f, with_imports(flags));
        assert_true(pe_import_modules(&f.image, &it));
        for (int i = 0; i < 4; i++) {
            struct pe_import_iter imports;
            struct pe_import import;
            assert_int_equal(pe_import_module_next(&it, &m), 1);
            pe_imports(&f.image, &m, &imports);
            for (uint32_t left = counts[i]; left > 0; left--) {
                assert_int_equal(pe_imports_ahead(&imports), left);
                assert_int_equal(pe_import_next(&imports, &import), 1);
            }
            assert_int_equal(pe_imports_ahead(&imports), 0);
            assert_int_equal(pe_import_next(&imports, &import), 0);
            assert_int_equal(pe_imports_ahead(&imports), 0);
        }
        free(f.bytes);
    }
}

/* What ends and what spoils the list: 32-bit values patched into descriptor `d` at `field`. */
static void ends_and_faults(void **state)
{
    static const struct {
        uint32_t descriptor, field, value;
        const char *expected;
    } rows[] = {
        {1, 12, 0, KERNEL32},                                       /* Name 0 */
        {1, 16, 0, KERNEL32},                                       /* FirstThunk 0 */
        {0, 4, UINT32_MAX, KERNEL32 BORLAND "nothing.dll?()" LAST}, /* bound: names count */
        {1, 12, 0x7fffffff, KERNEL32 "!"},
        {1, 16, 0x7ffffff0, KERNEL32 "borland(!)nothing.dll?()" LAST},
        {3, 0, 0x7ffffff0, KERNEL32 BORLAND "nothing.dll?()last.dll(!)"},
        /* Nothing is wanted from it: an unreadable name does no harm. */
        {2, 12, 0x7fffffff, KERNEL32 BORLAND "?()" LAST},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        uint64_t list;
        open_image(&f, with_imports(PEBUILD_DLL));
        uint32_t rva = f.image.h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva;
        assert_true(pe_rva_to_offset(&f.image, rva, &list));
        pebuild_put32(f.bytes, list + rows[i].descriptor * 20 + rows[i].field, rows[i].value);
        is_described(&f.image, false, rows[i].expected);
        free(f.bytes);
    }
}

/* The directory's size plays no part; the terminator does. */
static void size_is_ignored(void **state)
{
    static const uint32_t sizes[] = {0, 1, 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f;
        struct pebuild *b = with_imports(PEBUILD_DLL);
        b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].size = sizes[i];
        open_image(&f, b);
        is_described(&f.image, false, KERNEL32 BORLAND "nothing.dll?()" LAST);
        free(f.bytes);
    }
}

/* The terminator lies in the zero fill behind the raw data; without fill the list is malformed. */
static void terminator_in_zero_fill(void **state)
{
    for (uint32_t filled = 0; filled < 2; filled++) {
        struct fixture f;
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        uint8_t data[0x1000] = {0};
        uint32_t list = 0x1000 - 20;
        pebuild_put16(data, 0x10, 7);
        memcpy(data + 0x12, "Name", 5);
        memcpy(data + 0x20, "mod.dll", 8);
        pebuild_put32(data, 0x30, 0x1010);
        pebuild_put32(data, list + 12, 0x1020);
        pebuild_put32(data, list + 16, 0x1030);
        pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof(data), 0x1000 + filled);
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0x1000 + list, 20);
        open_image(&f, b);
        is_described(&f.image, false, filled ? "mod.dll(0:Name/7 )" : "mod.dll(0:Name/7 )!");
        free(f.bytes);
    }
}

/* All of it may lie in the headers, which are mapped as well. */
static void imports_in_the_headers(void **state)
{
    struct fixture f;
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0x300, 20);
    open_image(&f, b);
    pebuild_put32(f.bytes, 0x300 + 12, 0x340);
    pebuild_put32(f.bytes, 0x300 + 16, 0x350);
    memcpy(f.bytes + 0x340, "h.dll", 6);
    pebuild_put64(f.bytes, 0x350, 1ull << 63 | 5);
    pebuild_put64(f.bytes, 0x358, 0x370);
    memcpy(f.bytes + 0x372, "InHeader", 9);
    is_described(&f.image, false, "h.dll(0:#5 1:InHeader/0 )");
    free(f.bytes);
}

/* With a lookup table the IAT's content is not looked at; its own terminator is not needed. */
static void lookup_table_decides(void **state)
{
    struct fixture f;
    uint64_t at;
    struct pebuild_import imports[] = {{.module = "m.dll", .names = {"A", "B", "C"}}};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_imports(b, imports, 1);
    open_image(&f, b);
    assert_true(pe_rva_to_offset(&f.image, imports[0].iat_rva, &at));
    memset(f.bytes + at, 0xee, 16);
    is_described(&f.image, false, "m.dll(0:A/0 1:B/0 2:C/0 )");
    pebuild_put32(f.bytes, at, 0); /* an empty IAT: the module is not wanted */
    is_described(&f.image, false, "m.dll?(0:A/0 1:B/0 2:C/0 )");
    free(f.bytes);
}

/* Descriptors and thunks without end cost bounded work and are malformed. */
static void endless_lists(void **state)
{
    struct fixture f;
    struct pe_import_module_iter it;
    struct pe_import_module m;
    struct pe_import_iter imports;
    struct pe_import i;
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    uint32_t size = 0x100000, n = 0;
    uint8_t *data = calloc(1, size);
    for (uint32_t at = 0; at + 4 <= size; at += 4)
        pebuild_put32(data, at, 0x80001001); /* an ordinal, and an address outside */
    for (uint32_t at = 0; at + 20 <= 0x40000; at += 20) {
        pebuild_put32(data, at, 0x41000);
        pebuild_put32(data, at + 12, 0x1001);
        pebuild_put32(data, at + 16, 0x41000);
    }
    pebuild_section(b, ".data", PEBUILD_DATA, data, size, 0);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0x1000, 20);
    open_image(&f, b);
    assert_true(pe_import_modules(&f.image, &it));
    while (pe_import_module_next(&it, &m) > 0)
        n++;
    assert_status(it.status, STATUS_INVALID_IMAGE_FORMAT);
    assert_int_equal(n, 1024);
    pe_imports(&f.image, &m, &imports);
    for (n = 0; pe_import_next(&imports, &i) > 0;)
        n++;
    assert_status(imports.status, STATUS_INVALID_IMAGE_FORMAT);
    assert_int_equal(n, 65536);
    free(data);
    free(f.bytes);
}

/* One delay-import descriptor, with RVAs or, in the old form, VAs. */
static struct pebuild *with_delay(bool va_form, uint32_t spoil_field)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t base = va_form ? (uint32_t)b->h.image_base : 0;
    uint32_t descriptor = pebuild_zeroes(&buf, 64), name = pebuild_str(&buf, "late.dll");
    pebuild_align(&buf, 8);
    uint32_t import = pebuild_u16(&buf, 3);
    pebuild_str(&buf, "Later");
    pebuild_align(&buf, 8);
    uint32_t lookup = pebuild_u32(&buf, base + import);
    pebuild_u32(&buf, 0x80000009);
    pebuild_u32(&buf, 0);
    uint32_t iat = pebuild_u32(&buf, 0x1000), handle = pebuild_zeroes(&buf, 16);
    const uint32_t fields[] = {va_form ? 0 : 1, base + name, base + handle, base + iat,
                               base + lookup};
    for (uint32_t i = 0; i < 5; i++)
        pebuild_patch32(&buf, descriptor + i * 4, fields[i]);
    if (spoil_field)
        pebuild_patch32(&buf, descriptor + spoil_field, 0x00001000); /* an RVA, no VA */
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, descriptor, 64);
    pebuild_buffer_section(&buf, ".didat", PEBUILD_DATA);
    return b;
}

static void delay_imports(void **state)
{
    for (int va_form = 0; va_form < 2; va_form++) {
        struct fixture f;
        struct pe_import_module_iter it;
        struct pe_import_module m;
        open_image(&f, with_delay(va_form, 0));
        is_described(&f.image, true, "late.dll(0:Later/3 1:#9 )");
        is_described(&f.image, false, "");
        assert_true(pe_delay_import_modules(&f.image, &it));
        assert_int_equal(pe_import_module_next(&it, &m), 1);
        assert_true(m.delay && m.delay_va_form == va_form);
        assert_true(m.module_handle_rva > 0x1000 && m.module_handle_rva < 0x2000);
        free(f.bytes);
    }
    struct fixture f;
    open_image(&f, with_delay(true, 16));
    is_described(&f.image, true, "!");
    free(f.bytes);
}

/* A delay-load directory of zeroes is empty (behaviours, Imports). */
static void delay_directory_of_zeroes(void **state)
{
    struct fixture f;
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x1000);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, 0x1000, 64);
    open_image(&f, b);
    is_described(&f.image, true, "");
    free(f.bytes);
}

static void bound_imports(void **state)
{
    static const struct {
        const char *name;
        uint32_t stamp;
        bool ref;
    } rows[] = {{"a.dll", 0x11, false}, {"fwd.dll", 0x22, true}, {"b.dll", 0x33, false}};
    struct fixture f;
    struct pe_bound_import_iter it;
    struct pe_bound_import bound;
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pebuild_buffer buf = pebuild_buffer(b);
    const uint16_t names[] = {32, 38, 46}, refs[] = {1, 0, 0};
    for (uint32_t i = 0; i < 3; i++) {
        pebuild_u32(&buf, rows[i].stamp);
        pebuild_u16(&buf, names[i]);
        pebuild_u16(&buf, refs[i]);
    }
    pebuild_zeroes(&buf, 8);
    for (uint32_t i = 0; i < 3; i++)
        pebuild_str(&buf, rows[i].name);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, buf.rva, buf.size);
    pebuild_buffer_section(&buf, ".rdata", PEBUILD_RDATA);
    open_image(&f, b);
    assert_true(pe_bound_imports(&f.image, &it));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pe_bound_import_next(&it, &bound), 1);
        assert_int_equal(bound.time_date_stamp, rows[i].stamp);
        assert_int_equal(bound.forwarder_ref, rows[i].ref);
        assert_int_equal(bound.name.len, strlen(rows[i].name));
        assert_memory_equal(bound.name.ptr, rows[i].name, bound.name.len);
    }
    assert_int_equal(pe_bound_import_next(&it, &bound), 0);
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),
        cmocka_unit_test(what_is_ahead),
        cmocka_unit_test(ends_and_faults),
        cmocka_unit_test(size_is_ignored),
        cmocka_unit_test(terminator_in_zero_fill),
        cmocka_unit_test(imports_in_the_headers),
        cmocka_unit_test(lookup_table_decides),
        cmocka_unit_test(endless_lists),
        cmocka_unit_test(delay_imports),
        cmocka_unit_test(delay_directory_of_zeroes),
        cmocka_unit_test(bound_imports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
