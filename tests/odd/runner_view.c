/*
 * Odd images, the runner: what the memory manager maps of an image, in this process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/mm/protect.h"
#include "loader/mm/view.h"
#include "tests/odd/runner.h"

static const char *protect_name(uint32_t protect)
{
    static const struct {
        uint32_t protect;
        const char *name;
    } names[] = {{PAGE_NOACCESS, "NA"},
                 {PAGE_READONLY, "R"},
                 {PAGE_READWRITE, "RW"},
                 {PAGE_WRITECOPY, "WC"},
                 {PAGE_EXECUTE, "E"},
                 {PAGE_EXECUTE_READ, "ER"},
                 {PAGE_EXECUTE_READWRITE, "ERW"},
                 {PAGE_EXECUTE_WRITECOPY, "EWC"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].protect == protect)
            return names[i].name;
    return "?";
}

/* A run of pages, appended to a text in the form of row->map. */
struct run {
    uint64_t rva, size;
    uint32_t protect;
};

static void append_run(char *text, size_t size, const struct run *run)
{
    size_t length = strlen(text);
    if (run->size)
        snprintf(text + length, size - length, "%s%llx %llx %s", length ? "; " : "",
                 (unsigned long long)run->rva, (unsigned long long)run->size,
                 protect_name(run->protect));
}

static void describe(const struct mm_view *view, char *text, size_t size)
{
    struct mm_region region;
    struct run run = {0};
    uint32_t cursor = 0;
    *text = '\0';
    while (mm_view_next_region(view, &cursor, &region)) {
        uint64_t rva = region.base - mm_view_base(view);
        if (region.state != MEM_COMMIT)
            continue;
        if (run.size && run.rva + run.size == rva && run.protect == region.protect) {
            run.size += region.size;
            continue;
        }
        append_run(text, size, &run);
        run = (struct run){rva, region.size, region.protect};
    }
    append_run(text, size, &run);
}

/* The expectation without its "base ...; ". */
static const char *without_base(const char *map)
{
    if (strncmp(map, "base ", 5) != 0)
        return map;
    map += strcspn(map, ";");
    return map + strspn(map, "; ");
}

static void check_map(struct odd_case *c, struct mm_view *view)
{
    static char text[1 << 16];
    struct pe_error err = {0};
    const char *expected = without_base(c->row->map);
    if (!*expected)
        return;
    if (!nt_ok(mm_view_seal(view, &err)))
        odd_complain(c, "the view is not sealed: %s", err.text);
    describe(view, text, sizeof(text));
    if (strcmp(text, expected) != 0)
        odd_complain(c, "mapped is %s, expected %s", text, expected);
}

static bool expect_byte(struct odd_case *c, const struct mm_view *view, uint32_t rva,
                        unsigned long value)
{
    if (!mm_view_readable(view, rva, 1)) {
        odd_complain(c, "0x%x cannot be read", rva);
        return false;
    }
    uint8_t found = *(const uint8_t *)(uintptr_t)(mm_view_base(view) + rva);
    if (found != value)
        odd_complain(c, "0x%x holds %02x, expected %02lx", rva, found, value);
    return found == value;
}

/* One "RVA BYTE BYTE ..." or "RVA x COUNT BYTE". */
static void check_run_of_bytes(struct odd_case *c, const struct mm_view *view, char *text)
{
    char *end;
    uint32_t rva = (uint32_t)strtoul(text, &end, 16);
    text = end + strspn(end, " ");
    if (*text == 'x') {
        unsigned long count = strtoul(text + 1, &end, 16), value = strtoul(end, &end, 16);
        for (unsigned long i = 0; i < count && expect_byte(c, view, rva, value); i++)
            rva++;
        return;
    }
    for (;;) {
        unsigned long value = strtoul(text, &end, 16);
        if (end == text || !expect_byte(c, view, rva, value))
            return;
        rva++;
        text = end;
    }
}

static void check_bytes(struct odd_case *c, const struct mm_view *view, const char *bytes)
{
    char *copy = strdup(bytes), *rest = copy;
    for (char *run; (run = strsep(&rest, ";")) != NULL;)
        check_run_of_bytes(c, view, run);
    free(copy);
}

void odd_check_view(struct odd_case *c)
{
    struct mm_map_options options = {.shared_fd = -1};
    const struct odd_row *row = c->row;
    struct mm_section *section = NULL;
    struct mm_view *view = NULL;
    struct pe_error err = {0};
    const char *bytes = c->windows == PE_WINDOWS_XP && row->bytes_xp ? row->bytes_xp : row->bytes;
    if (!row->map && !bytes)
        return;
    nt_status status = mm_section_create_image_from_memory(c->odd.bytes, c->odd.size, row->name,
                                                           c->windows, &section, &err);
    if (nt_ok(status))
        status = mm_view_map(section, &options, &view, NULL, 0, &err);
    if (!nt_ok(status))
        odd_complain(c, "it is not mapped: %s", err.text);
    if (nt_ok(status) && bytes)
        check_bytes(c, view, bytes);
    if (nt_ok(status) && row->map)
        check_map(c, view);
    mm_view_unmap(view);
    mm_section_unref(section);
}
