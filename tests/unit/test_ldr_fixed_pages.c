/*
 * What VirtualQuery says of data that fixups were written to, wherever the pages are from: of an
 * image without DYNAMIC_BASE the loader of each process has written to them (facts 1.1, 2.3).
 *
 * Every load runs in a child, and the second finds what the first has kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/mm/view.h"
#include "tests/pebuild.h"
#include "tests/unit/tempdir.h"

enum {
    CODE = 0x1000,
    DATA = 0x3000,
    PAGES = 12,
    POINTER = sizeof(void *),
    TYPE = sizeof(void *) == 8 ? 10 : 3,
};
static const uint64_t preferred = 0x51000000;

/* Fixups in pages 1 and 4, and one that begins in page 7 and ends in page 8. */
static const uint32_t fixups[] = {
    DATA + 0x1000,
    DATA + 0x1800,
    DATA + 0x4FF8 - POINTER,
    DATA + 0x8000 - POINTER / 2,
};
static const char written[PAGES + 1] = ".w..w..ww...";

static struct pebuild *image(uint16_t dll_characteristics)
{
    static uint8_t code[0x2000], data[PAGES * 0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (POINTER == 8 ? PEBUILD_PE32_PLUS : 0));

    b->h.image_base = preferred;
    b->h.characteristics |= IMAGE_FILE_LARGE_ADDRESS_AWARE;
    b->h.dll_characteristics |= dll_characteristics;
    pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof code, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_fixup(b, CODE + 0x100, TYPE);
    for (size_t i = 0; i < sizeof fixups / sizeof *fixups; i++)
        pebuild_fixup(b, fixups[i], TYPE);
    pebuild_fixup(b, DATA + 0xA000, 0); /* padding is not written */
    pebuild_relocs(b);
    return b;
}

struct seen {
    bool loaded, cached, moved;
    uint64_t private_pages;
    uint32_t old; /* VirtualProtect's, of a page with a fixup */
    char data[PAGES + 1], by_regions[PAGES + 1], code[3], opened[3], after[PAGES + 1];
};

static char letter(uint32_t protect)
{
    switch (protect) {
    case PAGE_READWRITE:
        return 'w';
    case PAGE_WRITECOPY:
        return '.';
    case PAGE_EXECUTE_READ:
        return 'x';
    default:
        return '?';
    }
}

static void ask(uint64_t at, size_t pages, char *out)
{
    struct mm_region region;

    for (size_t i = 0; i < pages; i++)
        out[i] = nt_ok(mm_query(at + i * 0x1000, &region)) ? letter(region.protect) : '!';
}

static void look_at(struct ldr_module *module, struct seen *seen)
{
    uint64_t base = ldr_module_base(module), at = base + CODE, size = 0x2000;
    struct mm_region region;

    seen->cached = ldr_module_relocation_is_cached(module);
    seen->moved = base != preferred;
    for (uint32_t cursor = 0; mm_view_next_region(ldr_module_view(module), &cursor, &region);) {
        seen->private_pages += region.pages_private;
        for (uint64_t page = region.base; page < region.base + region.size; page += 0x1000)
            if (page >= base + DATA && page < base + DATA + PAGES * 0x1000)
                seen->by_regions[(page - base - DATA) / 0x1000] = letter(region.protect);
    }
    ask(base + DATA, PAGES, seen->data);
    ask(base + CODE, 2, seen->code);
    mm_protect(&at, &size, PAGE_READWRITE, &seen->old, NULL);
    ask(base + CODE, 2, seen->opened);
    at = base + DATA + 0x1000;
    size = 0x1000;
    mm_protect(&at, &size, PAGE_READONLY, &seen->old, NULL);
    mm_protect(&at, &size, PAGE_READWRITE, &(uint32_t){0}, NULL);
    *(volatile char *)(uintptr_t)(base + DATA + 0x2000) = 1;
    ask(base + DATA, PAGES, seen->after);
}

static void load_here(const char *path, struct seen *seen)
{
    struct ldr_load_options options = {.name = path};
    struct ldr_module *module;

    if (mmap((void *)(uintptr_t)preferred, 0x1000, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
        _exit(1);
    seen->loaded = nt_ok(ldr_load(&options, &module, NULL));
    if (seen->loaded)
        look_at(module, seen);
}

static struct seen load(const char *name)
{
    struct seen seen, *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    assert_ptr_not_equal(shared, MAP_FAILED);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        load_here(tempdir_path(name), shared);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    seen = *shared;
    munmap(shared, sizeof *shared);
    assert_true(seen.loaded);
    assert_true(seen.moved);
    return seen;
}

/* Written long enough ago that its change time would tell of another change. */
static void write_image(const char *name, struct pebuild *b)
{
    assert_true(pebuild_finish_file(b, tempdir_path(name)));
    usleep(100000);
}

static void check(const struct seen *seen, const char *data, const char *opened)
{
    char after[PAGES + 1];

    memcpy(after, data, sizeof after);
    after[2] = 'w';
    assert_string_equal(seen->data, data);
    assert_string_equal(seen->by_regions, data);
    assert_string_equal(seen->code, "xx");
    assert_string_equal(seen->opened, opened);
    assert_int_equal(seen->old, data[1] == 'w' ? PAGE_READWRITE : PAGE_WRITECOPY);
    assert_string_equal(seen->after, after);
}

static void pages_of_the_cache_answer_as_copies(void **state)
{
    struct seen first, last;

    write_image("a.dll", image(0));
    first = load("a.dll");
    load("a.dll");
    last = load("a.dll");
    assert_true(last.cached);
    check(&first, written, "w.");
    check(&last, written, "w.");
    assert_int_equal(last.private_pages, 0);
}

static void without_the_cache_they_are_copies(void **state)
{
    struct seen seen;

    setenv("PELDR_CACHE", "off", 1);
    write_image("b.dll", image(0));
    seen = load("b.dll");
    assert_false(seen.cached);
    check(&seen, written, "w.");
    assert_int_equal(seen.private_pages, 5);
}

/* Windows relocates such an image once, for all. */
static void with_dynamic_base_nobody_has_written(void **state)
{
    struct seen last;

    write_image("c.dll", image(IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE));
    load("c.dll");
    load("c.dll");
    last = load("c.dll");
    assert_true(last.cached);
    check(&last, "............", "..");
    assert_int_equal(last.private_pages, 0);
}

static int setup(void **state)
{
    return tempdir_create_for_images();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_the_cache_answer_as_copies),
        cmocka_unit_test(with_dynamic_base_nobody_has_written),
        cmocka_unit_test(without_the_cache_they_are_copies),
    };

    return cmocka_run_group_tests_name("ldr_fixed_pages", tests, setup, teardown);
}
