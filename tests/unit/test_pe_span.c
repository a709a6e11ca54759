/*
 * The bounded reader and the status table: every edge of a span, and every hole of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pe/span.h"
#include "pe/status.h"
#include "tests/unit/status.h"

static const uint8_t bytes[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 'a', 'b', 0, 'c'};
static const struct pe_span span = {bytes, sizeof(bytes)};

static void reads_little_endian(void **state)
{
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    assert_true(pe_u8(span, 0, &u8) && u8 == 0x11);
    assert_true(pe_u16(span, 1, &u16) && u16 == 0x3322);
    assert_true(pe_u32(span, 1, &u32) && u32 == 0x55443322);
    assert_true(pe_u64(span, 0, &u64) && u64 == 0x8877665544332211u);
}

/* One byte too far, and offsets near 2^64, where a sum would wrap. */
static void refuses_what_is_outside(void **state)
{
    static const uint64_t offsets[] = {
        12, 13, 1000, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 7, 1ull << 63};
    uint8_t u8 = 7;
    uint16_t u16 = 7;
    uint32_t u32 = 7;
    uint64_t u64 = 7;
    struct pe_span sub = {NULL, 7};
    struct pe_str str = {NULL, 7};
    char copy[4];
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        assert_false(pe_u8(span, offsets[i], &u8));
        assert_false(pe_u16(span, offsets[i], &u16));
        assert_false(pe_u32(span, offsets[i], &u32));
        assert_false(pe_u64(span, offsets[i], &u64));
        assert_false(pe_sub(span, offsets[i], 1, &sub));
        assert_false(pe_cstr(span, offsets[i], 10, &str));
        assert_int_equal(pe_copy_some(span, offsets[i], copy, 4), 0);
    }
    assert_false(pe_u16(span, 11, &u16));
    assert_false(pe_u32(span, 9, &u32));
    assert_false(pe_u64(span, 5, &u64));
    assert_false(pe_sub(span, 1, UINT64_MAX, &sub));
    assert_true(u8 == 7 && u16 == 7 && u32 == 7 && u64 == 7 && sub.size == 7 && str.len == 7);
    assert_false(pe_u8((struct pe_span){NULL, 0}, 0, &u8));
}

static void cuts_and_copies(void **state)
{
    struct pe_span sub;
    char copy[12] = {0};
    assert_true(pe_sub(span, 8, 4, &sub) && sub.data == bytes + 8 && sub.size == 4);
    assert_true(pe_sub(span, 12, 0, &sub) && sub.size == 0);
    assert_int_equal(pe_copy_some(span, 10, copy, 12), 2);
    assert_memory_equal(copy, "\0c", 2);
}

static void finds_strings(void **state)
{
    struct pe_str str;
    assert_true(pe_cstr(span, 8, 10, &str) && str.len == 2 && memcmp(str.ptr, "ab", 2) == 0);
    assert_true(pe_cstr(span, 8, 2, &str) && str.len == 2);
    assert_true(pe_cstr(span, 10, 0, &str) && str.len == 0 && str.ptr);
    assert_false(pe_cstr(span, 8, 1, &str));  /* longer than asked for */
    assert_false(pe_cstr(span, 11, 9, &str)); /* the span ends first */
}

static void writes_what_it_reads(void **state)
{
    uint8_t memory[10] = {0};
    struct pe_span s = {memory, 9}; /* the tenth byte is a fence */
    uint64_t value;
    assert_true(pe_put_u64(s, 1, 0x1122334455667788u));
    assert_true(pe_u64(s, 1, &value) && value == 0x1122334455667788u);
    assert_true(pe_put_u16(s, 0, 0xabcd) && memory[0] == 0xcd && memory[1] == 0xab);
    assert_true(pe_put_u32(s, 5, 1) && memory[5] == 1 && memory[8] == 0);
    assert_false(pe_put_u64(s, 2, 1));
    assert_false(pe_put_u32(s, 6, UINT32_MAX));
    assert_false(pe_put_u16(s, 8, UINT16_MAX));
    assert_false(pe_put_u16(s, UINT64_MAX, UINT16_MAX));
    assert_int_equal(memory[9], 0);
}

/* Facts sheet, section 5. */
static void maps_statuses(void **state)
{
    static const struct {
        nt_status status;
        const char *name;
        uint32_t win32;
    } rows[] = {
        {0x00000000, "STATUS_SUCCESS", 0},
        {0x40000000, "STATUS_OBJECT_NAME_EXISTS", 183},
        {0x40000003, "STATUS_IMAGE_NOT_AT_BASE", 0},
        {0xC0000017, "STATUS_NO_MEMORY", 8},
        {0xC0000018, "STATUS_CONFLICTING_ADDRESSES", 487},
        {0xC000001F, "STATUS_INVALID_VIEW_SIZE", 5},
        {0xC0000020, "STATUS_INVALID_FILE_FOR_SECTION", 193},
        {0xC0000040, "STATUS_SECTION_TOO_BIG", 8},
        {0xC000004E, "STATUS_SECTION_PROTECTION", 87},
        {0xC000007B, "STATUS_INVALID_IMAGE_FORMAT", 193},
        {0xC000011B, "STATUS_INVALID_IMAGE_NE_FORMAT", 193},
        {0xC000011E, "STATUS_MAPPED_FILE_SIZE_ZERO", 1006},
        {0xC000012F, "STATUS_INVALID_IMAGE_NOT_MZ", 193},
        {0xC0000130, "STATUS_INVALID_IMAGE_PROTECT", 193},
        {0xC0000135, "STATUS_DLL_NOT_FOUND", 126},
        {0xC0000138, "STATUS_ORDINAL_NOT_FOUND", 182},
        {0xC0000139, "STATUS_ENTRYPOINT_NOT_FOUND", 127},
        {0xC0000141, "STATUS_INVALID_ADDRESS", 59},
        {0xC0000142, "STATUS_DLL_INIT_FAILED", 1114},
        {0xC0000220, "STATUS_MAPPED_ALIGNMENT", 1132},
        {0xC0000243, "STATUS_USER_MAPPED_FILE", 1224},
        {0xC0FFEE00, "STATUS_UNKNOWN", 317},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(nt_status_name(rows[i].status), rows[i].name);
        assert_int_equal(nt_status_to_win32(rows[i].status), rows[i].win32);
        assert_true(*nt_status_text(rows[i].status));
        assert_int_equal(nt_ok(rows[i].status), rows[i].status < 0x80000000u);
    }
}

static void first_failure_wins(void **state)
{
    struct pe_error err = {0};
    pe_error_prefix(&err, "nothing happened: ");
    assert_string_equal(err.text, "");
    assert_status(pe_fail_rule(&err, STATUS_INVALID_IMAGE_FORMAT, "opt.magic", "magic %x", 5),
                  STATUS_INVALID_IMAGE_FORMAT);
    assert_status(pe_fail(&err, STATUS_NO_MEMORY, "later"), STATUS_NO_MEMORY);
    pe_error_prefix(&err, "%s: ", "a.dll");
    assert_status(err.status, STATUS_INVALID_IMAGE_FORMAT);
    assert_string_equal(err.rule, "opt.magic");
    assert_string_equal(err.text, "a.dll: magic 5");
    assert_status(pe_fail(NULL, STATUS_NO_MEMORY, "nobody listens"), STATUS_NO_MEMORY);
}

/* Text that does not fit is cut between characters, not inside one. */
static void long_text_is_cut(void **state)
{
    struct pe_error err = {0};
    char text[3000];
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    text[sizeof(text) - 3] = 0;
    pe_fail(&err, STATUS_UNSUCCESSFUL, "x%s", text);
    assert_int_equal(strlen(err.text) % 3, 1);
    assert_true(strlen(err.text) > 1000);
    pe_error_prefix(&err, "ab");
    assert_int_equal(strncmp(err.text, "abx", 3), 0);
    assert_int_equal(strlen(err.text) % 3, 0);
    pe_error_prefix(&err, "%s", text);
    assert_true(strlen(err.text) < sizeof(err.text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_little_endian),  cmocka_unit_test(refuses_what_is_outside),
        cmocka_unit_test(cuts_and_copies),      cmocka_unit_test(finds_strings),
        cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(maps_statuses),
        cmocka_unit_test(first_failure_wins),   cmocka_unit_test(long_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
