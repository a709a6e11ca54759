/*
 * A window answers what reading without one answers, in every layout and wherever the bytes end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pe/window.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

#define STEP 0x333u

static void same_at(const struct pe_image *image, struct pe_window *w, uint32_t rva)
{
    uint16_t half = 1, half_window = 1;
    uint32_t word = 1, word_window = 1;
    uint64_t pointer = 1, pointer_window = 1;
    struct pe_str text = {NULL, 0}, text_window = {NULL, 0};
    assert_int_equal(pe_window_u16(image, w, rva, &half_window), pe_rva_u16(image, rva, &half));
    assert_int_equal(pe_window_u32(image, w, rva, &word_window), pe_rva_u32(image, rva, &word));
    assert_int_equal(pe_window_ptr(image, w, rva, &pointer_window),
                     pe_rva_ptr(image, rva, &pointer));
    assert_int_equal(pe_window_str(image, w, rva, 100, &text_window),
                     pe_rva_str(image, rva, 100, &text));
    assert_int_equal(half_window, half);
    assert_int_equal(word_window, word);
    assert_true(pointer_window == pointer);
    assert_int_equal(text_window.len, text.len);
    assert_true(text.ptr == text_window.ptr || text.len == 0);
}

/* Up, down, and around the ends of pages; one window for all. */
static void same_everywhere(const struct pe_image *image, uint32_t end)
{
    struct pe_window w = {0};
    for (uint32_t rva = 0; rva < end; rva += STEP)
        same_at(image, &w, rva);
    for (uint32_t rva = end; rva >= STEP; rva -= STEP)
        same_at(image, &w, rva);
    for (uint32_t page = 0; page <= end; page += PE_PAGE_SIZE)
        for (uint32_t off = 0; off < 20; off++)
            same_at(image, &w, page + off - 10);
    same_at(image, &w, UINT32_MAX);
}

static uint8_t *build(unsigned flags, uint64_t *size)
{
    static uint8_t data[0x60000];
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 % 97);
    struct pebuild *b = pebuild_new(PEBUILD_DLL | flags);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, data, sizeof(data), 0);
    pebuild_section(b, ".data", PEBUILD_DATA, data, 0x1234, 0x5000);
    return pebuild_finish(b, size);
}

static void in_a_file(void **state)
{
    static const unsigned words[] = {0, PEBUILD_PE32_PLUS};
    for (int i = 0; i < 2; i++) {
        struct pe_image image;
        uint64_t size;
        uint8_t *bytes = build(words[i], &size);
        assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, NULL),
                      STATUS_SUCCESS);
        same_everywhere(&image, pe_mapped_size(&image) + 2 * PE_PAGE_SIZE);
        free(bytes);
    }
}

/* Every third page may not be read. */
static uint32_t two_of_three(const void *view, uint32_t rva, uint32_t len)
{
    uint32_t at = rva;
    while (at / PE_PAGE_SIZE % 3 != 2 && at - rva < len)
        at = (at / PE_PAGE_SIZE + 1) * PE_PAGE_SIZE;
    return at - rva < len ? at - rva : len;
}

static void in_a_view_with_pages_that_cannot_be_read(void **state)
{
    uint64_t size;
    uint8_t *bytes = build(PEBUILD_PE32_PLUS, &size);
    struct pe_image image;
    assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_MAPPED, &image, NULL),
                  STATUS_SUCCESS);
    same_everywhere(&image, (uint32_t)size + PE_PAGE_SIZE);
    image.readable = two_of_three;
    same_everywhere(&image, (uint32_t)size + PE_PAGE_SIZE);
    free(bytes);
}

/* What is written between two readings is seen by the second. */
static void content_is_never_kept(void **state)
{
    uint64_t size;
    uint8_t *bytes = build(0, &size);
    struct pe_image image;
    struct pe_window w = {0};
    uint32_t value;
    assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_MAPPED, &image, NULL),
                  STATUS_SUCCESS);
    assert_true(pe_window_u32(&image, &w, 0x2000, &value));
    assert_true(pe_put_u32(image.bytes, 0x2004, 0x12345678));
    assert_true(pe_window_u32(&image, &w, 0x2004, &value));
    assert_int_equal(value, 0x12345678);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_file),
        cmocka_unit_test(in_a_view_with_pages_that_cannot_be_read),
        cmocka_unit_test(content_is_never_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
