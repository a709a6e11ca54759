/*
 * One image, many ways into memory: at its preferred base or moved, for the first time or found in
 * the cache, by another process or by this one, from a file or from memory. All must show the same
 * bytes, those of a model that knows nothing of objects, views and caches; of random images, whose
 * PE sections end and begin where huge pages do not.
 *
 * PELDR_PATHS_SEED and PELDR_PATHS_ROUNDS ask for other images, and for more.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/mm/view.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

enum {
    PAGE = 0x1000,
    POINTER = sizeof(void *),
    FLAGS = PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0),
    TYPE = sizeof(void *) == 8 ? 10 : 3,
    MOST_SECTIONS = 6,
    MOST_BYTES = 12 << 20, /* of the image without its fixups */
    ROUNDS = 6,
};
static const uint64_t preferred = 0x51000000, elsewhere = 0x58000000;

/* splitmix64: seeds that are neighbours give images that are strangers. */
static uint64_t random_state;

static uint32_t roll(uint32_t sides)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x >> 32) * sides >> 32);
}

/* ---- random images ---- */

static struct {
    uint8_t *file, *mapped; /* the model: at the preferred base */
    uint64_t file_size;
    uint32_t mapped_size, *fixups, fixup_count, base_field, pages;
    bool *dirtied; /* pages */
} image;

static void note_fixup(uint32_t rva)
{
    if ((image.fixup_count & (image.fixup_count + 1)) == 0) {
        size_t room = image.fixup_count * 2 + 2;
        image.fixups = realloc(image.fixups, room * sizeof *image.fixups);
        assert_non_null(image.fixups);
    }
    image.fixups[image.fixup_count++] = rva;
}

enum density { NONE, FEW, MOST_PAGES, ONE_A_PAGE, ROWS, DENSITIES };

/* How far the next fixup is from the last one; now and then it reaches over the end of a page. */
static uint32_t distance(enum density density, uint32_t rva)
{
    uint32_t to_page = PAGE - rva % PAGE;
    switch (density) {
    case FEW:
        return POINTER + roll(40 * PAGE);
    case ONE_A_PAGE:
        return to_page + roll(PAGE - POINTER);
    case MOST_PAGES:
        return roll(8) ? to_page + roll(PAGE) : 2 * PAGE;
    default:
        return POINTER + (roll(64) ? 0 : roll(64) ? roll(4) * POINTER : roll(POINTER));
    }
}

static void note_fixups(enum density density, uint32_t rva, uint32_t size)
{
    uint32_t end = rva + size;
    if (density == NONE)
        return;
    for (rva += roll(8) * POINTER; rva + POINTER <= end;) {
        uint32_t next = rva + distance(density, rva);
        note_fixup(rva);
        rva = next < rva + POINTER ? rva + POINTER : next;
    }
}

static uint32_t random_size(bool dense)
{
    switch (roll(8)) {
    case 0:
        return 1 + roll(600);
    case 1:
        return 0x1f0000 + roll(0x20000);
    case 2:
        return 1 + roll(5 << 20);
    default:
        return 1 + (dense ? 0x100000 + roll(2 << 20) : roll(50 * PAGE));
    }
}

static enum density random_density(bool dense)
{
    return dense && roll(8) ? ONE_A_PAGE + roll(2) : roll(DENSITIES);
}

/* Of `dense` images most pages have fixups, which are to be applied in long runs. */
static void add_section(struct pebuild *b, bool dense)
{
    static const uint32_t kinds[] = {PEBUILD_RDATA, PEBUILD_DATA, PEBUILD_TEXT, PEBUILD_BSS};
    uint32_t kind = kinds[roll(dense ? 2 : 4)], size = random_size(dense);
    uint32_t extra = roll(dense ? 8 : 2) == 0 ? roll(4 * PAGE) : 0;
    uint32_t rva = pebuild_next_rva(b);
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (uint32_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 9) + kind);
    if (kind == PEBUILD_BSS)
        pebuild_section(b, ".s", kind, NULL, 0, size);
    else
        pebuild_section(b, ".s", kind, data, size, size + extra);
    free(data);
    note_fixups(random_density(dense), rva, size);
}

static void add_relocs(struct pebuild *b)
{
    struct pebuild_buffer buffer = pebuild_buffer(b);
    for (uint32_t i = 0, end; i < image.fixup_count; i = end) {
        uint32_t page = image.fixups[i] / PAGE * PAGE;
        for (end = i; end < image.fixup_count && image.fixups[end] - page < PAGE;)
            end++;
        uint32_t entries = (end - i + 1) / 2 * 2;
        pebuild_u32(&buffer, page);
        pebuild_u32(&buffer, 8 + 2 * entries);
        for (uint32_t k = i; k < i + entries; k++)
            pebuild_u16(&buffer, k < end ? (uint16_t)(TYPE << 12 | (image.fixups[k] - page)) : 0);
    }
    pebuild_u32(&buffer, 0);
    pebuild_u32(&buffer, 8);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buffer.rva, buffer.size - 8);
    pebuild_buffer_section(&buffer, ".reloc", PEBUILD_RDATA);
}

/* What the headers say, page by page; all of it is in the file. */
static void make_model(const struct pe_headers *h, const struct pebuild_section *sections)
{
    image.mapped_size = h->size_of_image;
    image.base_field = h->e_lfanew + (sizeof(void *) == 8 ? 48 : 52);
    image.mapped = calloc(1, image.mapped_size);
    image.dirtied = calloc(1, image.mapped_size / PAGE);
    assert_true(image.mapped != NULL && image.dirtied != NULL);
    memcpy(image.mapped, image.file, h->size_of_headers);
    for (uint32_t i = 0; i < h->number_of_sections; i++)
        memcpy(image.mapped + sections[i].virtual_address,
               image.file + sections[i].pointer_to_raw_data, sections[i].size_of_raw_data);
    for (uint32_t i = 0; i < image.fixup_count; i++) {
        image.dirtied[image.fixups[i] / PAGE] = true;
        image.dirtied[(image.fixups[i] + POINTER - 1) / PAGE] = true;
    }
    for (uint32_t i = 0; i < image.mapped_size / PAGE; i++)
        image.pages += image.dirtied[i];
}

static void make_image(void)
{
    struct pebuild *b = pebuild_new(FLAGS);
    struct pe_headers h;
    struct pebuild_section sections[MOST_SECTIONS + 1];
    bool dense = roll(2);
    b->h.image_base = preferred;
    b->h.characteristics |= IMAGE_FILE_LARGE_ADDRESS_AWARE;
    b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    if (roll(4) == 0) {
        b->h.file_alignment = PAGE;
        b->h.size_of_headers = PAGE;
        b->next_offset = PAGE;
    }
    for (uint32_t i = 1 + roll(MOST_SECTIONS); i > 0 && pebuild_next_rva(b) < MOST_BYTES; i--)
        add_section(b, dense);
    add_relocs(b);
    h = b->h;
    memcpy(sections, b->sections, h.number_of_sections * sizeof *sections);
    image.file = pebuild_finish(b, &image.file_size);
    make_model(&h, sections);
}

static void drop_image(void)
{
    free(image.file);
    free(image.mapped);
    free(image.fixups);
    free(image.dirtied);
    memset(&image, 0, sizeof image);
}

/* ---- the model's bytes at a base ---- */

static void add_to(uint8_t *field, uint64_t delta)
{
    uintptr_t value;
    memcpy(&value, field, sizeof value);
    value += (uintptr_t)delta;
    memcpy(field, &value, sizeof value);
}

static void move_model(uint64_t delta)
{
    for (uint32_t i = 0; i < image.fixup_count; i++)
        add_to(image.mapped + image.fixups[i], delta);
    add_to(image.mapped + image.base_field, delta);
}

/* ---- one load ---- */

struct seen {
    char error[1024];
    uint64_t base, private_pages, wrong_at; /* of the first wrong byte, else the image's size */
    bool cached;
};

static void look_at(struct ldr_module *module, struct seen *seen)
{
    struct mm_region region;
    seen->base = ldr_module_base(module);
    seen->cached = ldr_module_relocation_is_cached(module);
    seen->private_pages = 0;
    for (uint32_t cursor = 0; mm_view_next_region(ldr_module_view(module), &cursor, &region);)
        seen->private_pages += region.pages_private;
    move_model(seen->base - preferred);
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)seen->base;
    for (seen->wrong_at = 0; seen->wrong_at < image.mapped_size; seen->wrong_at += PAGE)
        if (memcmp(bytes + seen->wrong_at, image.mapped + seen->wrong_at, PAGE) != 0)
            break;
    move_model(preferred - seen->base);
}

static bool load_once(const struct ldr_load_options *options, struct seen *seen)
{
    struct pe_error err = {0};
    struct ldr_module *module;
    bool done = nt_ok(ldr_load(options, &module, &err));
    if (done)
        look_at(module, seen);
    done = done && nt_ok(ldr_unload(module, &err));
    snprintf(seen->error, sizeof seen->error, "%s", done ? "" : err.text);
    return done;
}

static void take(uint64_t address)
{
    void *wanted = (void *)(uintptr_t)address;
    if (mmap(wanted, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
        wanted)
        _exit(1);
}

enum { AT_BASE = 0, MOVED = 1, ASKED = 2, FROM_MEMORY = 4, NO_CACHE = 8, FORGET = 16 };

static void load_here(unsigned how, struct seen *seen)
{
    struct ldr_load_options options = {.name = tempdir_path("a.dll")};
    if (how & MOVED)
        take(preferred);
    if (how & ASKED)
        options.base = elsewhere + 0x10000 * (image.file_size / 512 % 32);
    if (how & FROM_MEMORY) {
        options.bytes = image.file;
        options.size = image.file_size;
    }
    if (how & NO_CACHE)
        setenv("PELDR_CACHE", "off", 1);
    if (!load_once(&options, &seen[0]) || !load_once(&options, &seen[1]))
        return;
    /* And once more where the other kind of base is to be had. */
    if (how & MOVED)
        munmap((void *)(uintptr_t)preferred, PAGE);
    else
        take(preferred);
    load_once(&options, &seen[2]);
}

enum { LOADS = 3 };

static void check(const struct seen *seen, bool moves)
{
    assert_string_equal(seen->error, "");
    assert_true((seen->base != preferred) == moves);
    assert_int_equal(seen->wrong_at, image.mapped_size);
    if (seen->cached || !moves)
        assert_int_equal(seen->private_pages, 0);
    else if (seen->private_pages != 0)
        assert_in_range(seen->private_pages, image.pages, image.pages + 1); /* the header's */
}

static void load(unsigned how)
{
    struct seen *seen =
        mmap(NULL, LOADS * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool moves = how & (MOVED | ASKED);
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        load_here(how, seen);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (int i = 0; i < LOADS; i++)
        check(&seen[i], i < 2 || (how & ASKED) ? moves : !moves);
    munmap(seen, LOADS * sizeof *seen);
}

/* ---- all ways, in orders that make entries of the cache from nothing and from others ---- */

static void every_way_shows_the_same(void **state)
{
    static const unsigned ways[] = {
        MOVED,
        MOVED,
        AT_BASE,
        ASKED,
        MOVED,
        FORGET | ASKED,
        MOVED,
        AT_BASE,
        FORGET | AT_BASE,
        MOVED,
        AT_BASE,
        ASKED,
        NO_CACHE,
        NO_CACHE | MOVED,
        NO_CACHE | ASKED,
        FROM_MEMORY,
        FROM_MEMORY | MOVED,
    };
    const char *seed = getenv("PELDR_PATHS_SEED"), *rounds = getenv("PELDR_PATHS_ROUNDS");
    uint32_t first = seed ? (uint32_t)atoi(seed) : 1,
             count = rounds ? (uint32_t)atoi(rounds) : ROUNDS;
    for (uint32_t round = 0; round < count; round++) {
        random_state = first + round;
        make_image();
        tempdir_write("a.dll", image.file, image.file_size);
        usleep(30000); /* its change time would tell of another change */
        tempdir_empty("cache");
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            if (ways[i] & FORGET)
                tempdir_empty("cache");
            print_message("seed %u, way %zu (%#x)\n", first + round, i, ways[i]);
            load(ways[i] & ~(unsigned)FORGET);
        }
        drop_image();
    }
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_way_shows_the_same)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
