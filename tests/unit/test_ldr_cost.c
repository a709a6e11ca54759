/*
 * What small files may cost: CPU time and memory of loading images that ask for as much of both as
 * their tables can. The bounds are far above what is needed and far below what was asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "tests/samples.h"
#include "tests/unit/shared_tables.h"

#define MAX_SECONDS 8.0
#define MAX_MEMORY  (96u << 20)
#define HUGE_SIZE   0x0f000000u /* of a PE section without bytes in the file */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The most memory that this process ever had, in bytes. */
static uint64_t peak(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmHWM: %llu kB", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib << 10;
}

static void loads_cheaply(struct pebuild *b, const char *file, nt_status expected)
{
    struct ldr_module *module;
    struct pe_error err = {0};
    static struct ldr_thread thread; /* stays registered when the test fails */
    static void *field;
    assert_true(pebuild_finish_file(b, tempdir_path(file)));
    assert_status(ldr_thread_register(&thread, &field, NULL), STATUS_SUCCESS);
    double begin = seconds();
    uint64_t before = peak();
    nt_status status = graph_load(file, 0, &module, &err);
    double took = seconds() - begin;
    uint64_t used = peak() - before;
    ldr_thread_unregister(&thread);
    if (getenv("SHOW_COST"))
        printf("%s: %.2f s, %llu KiB\n", file, took, (unsigned long long)used >> 10);
    if (status != expected)
        fail_msg("%s: %s, not %s: %s", file, nt_status_text(status), nt_status_text(expected),
                 err.text);
    assert_true(took < MAX_SECONDS);
    assert_true(used < MAX_MEMORY);
    if (nt_ok(status))
        ldr_unload(module, NULL);
}

/* 24 KiB of descriptors ask for half a million imports, each of which goes round 64 times. */
static void forwarders_that_loop(void **state)
{
    struct graph_spec spec = {.file = "loop.dll",
                              .exports = {{.name = "round", .forwarder = "loop.round"}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    shared_tables_add(b, &(struct shared_tables){"loop.dll", "round", 1000, 600});
    loads_cheaply(b, spec.file, STATUS_ENTRYPOINT_NOT_FOUND);
}

/* The forwarder is measured at each of them: 100 KB. */
static void forwarders_that_are_long(void **state)
{
    char *text = malloc(100000);
    assert_non_null(text);
    memset(text, 'x', 99999);
    memcpy(text, "far.", 4);
    text[99999] = '\0';
    struct graph_spec spec = {.file = "far.dll", .exports = {{.name = "away", .forwarder = text}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    shared_tables_add(b, &(struct shared_tables){"far.dll", NULL, 1000, 600});
    free(text);
    loads_cheaply(b, spec.file, STATUS_ENTRYPOINT_NOT_FOUND);
}

/* Each looks for a DLL that is nowhere. */
static void forwarders_to_nowhere(void **state)
{
    struct graph_spec spec = {.file = "lost.dll",
                              .exports = {{.name = "gone", .forwarder = "nowhere.x"}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    shared_tables_add(b, &(struct shared_tables){"lost.dll", "gone", 1000, 600});
    loads_cheaply(b, spec.file, STATUS_DLL_NOT_FOUND);
}

/* An image whose TLS directory says: fields of 32 bits each, which a PE32+ image has 64 of. */
static struct pebuild *with_tls(const char *file, uint32_t begin_rva, uint32_t end_rva,
                                uint32_t zero_fill, uint32_t characteristics)
{
    struct pebuild_tls tls = {
        .zero_fill = zero_fill, .characteristics = characteristics, .template_size = 0};
    /* Outside of what sanitizers keep for themselves. */
    struct graph_spec spec = {.file = file, .tls = &tls, .base = 0x10000000};
    struct pebuild *b = graph_builder(&spec, NULL);
    for (uint32_t i = 0; i < b->section_count && end_rva; i++) {
        struct pebuild_section *s = &b->sections[i];
        uint32_t at = tls.directory_rva - s->virtual_address;
        if (at >= s->data_size)
            continue;
        pebuild_put32(s->data, at, (uint32_t)b->h.image_base + begin_rva);
        pebuild_put32(s->data, at + (uint32_t)sizeof(void *), (uint32_t)b->h.image_base + end_rva);
        b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    }
    return b;
}

static void tls_zero_fill(void **state)
{
    loads_cheaply(with_tls("zero.dll", 0, 0, 0x0fffffff, 0x00e00000), "zero.dll", STATUS_SUCCESS);
    loads_cheaply(with_tls("zero1.dll", 0, 0, 0x0fffffff, 0), "zero1.dll", STATUS_SUCCESS);
}

/* The template is a PE section without bytes in the file. */
static void tls_template_in_zero_fill(void **state)
{
    struct pebuild *b = with_tls("huge.dll", 0x10000, 0x10000 + HUGE_SIZE, 0, 0);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, HUGE_SIZE + 0x10000);
    loads_cheaply(b, "huge.dll", STATUS_SUCCESS);
}

/* One block of `count` entries that are all padding; the image lies below the first usable address.
 */
static struct pebuild *with_padding(const char *file, uint32_t count)
{
    const uint32_t header[] = {0x1000, 8 + 2 * count};
    struct graph_spec spec = {.file = file};
    struct pebuild *b = graph_builder(&spec, NULL);
    uint32_t i = pebuild_section(b, ".pad", PEBUILD_DATA, header, sizeof(header), HUGE_SIZE);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, b->sections[i].virtual_address,
                      header[1]);
    b->h.image_base = 0;
    b->h.address_of_entry_point = 0;
    return b;
}

static void fixups_in_zero_fill(void **state)
{
    loads_cheaply(with_padding("some.dll", 1u << 20), "some.dll", STATUS_SUCCESS);
    loads_cheaply(with_padding("pad.dll", 1u << 24), "pad.dll", STATUS_INVALID_IMAGE_FORMAT);
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host();
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwarders_that_loop),      cmocka_unit_test(forwarders_that_are_long),
        cmocka_unit_test(forwarders_to_nowhere),     cmocka_unit_test(tls_zero_fill),
        cmocka_unit_test(tls_template_in_zero_fill), cmocka_unit_test(fixups_in_zero_fill),
    };
    if (!HELD_IS_EXACT) /* sanitizers cost time and touch what calloc() gives */
        return 77;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
