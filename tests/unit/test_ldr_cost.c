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

#include "tests/unit/shared_tables.h"

#define MAX_SECONDS 8.0
#define MAX_MEMORY  (96u << 20)

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
        cmocka_unit_test(forwarders_that_loop),
        cmocka_unit_test(forwarders_that_are_long),
        cmocka_unit_test(forwarders_to_nowhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
