/*
 * Programs and threads: static loads, what is called when, EXEs, static TLS (facts 3.3, 3.7, 3.8).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/graphimage.h"

static const uint32_t template_words[3] = {0x11111111, 0x22222222, 0x33333333};

/* What ke/ gives a thread: a TEB field and the loader's record. */
struct thread {
    struct ldr_thread record;
    void *field;
};

static void begin_thread(struct thread *thread)
{
    assert_status(ldr_thread_register(&thread->record, &thread->field, NULL), STATUS_SUCCESS);
}

static uint32_t index_of(const struct ldr_module *module, const struct pebuild_tls *tls)
{
    return *(uint32_t *)(uintptr_t)(ldr_module_base(module) + tls->index_rva);
}

static void write_tls(const char *file, char id, char callback, struct pebuild_tls *tls)
{
    *tls = (struct pebuild_tls){
        .template_data = template_words, .template_size = sizeof(template_words), .zero_fill = 20};
    graph_write(&(struct graph_spec){.file = file, .id = id, .tls_callback = callback, .tls = tls});
}

/* ---- threads ---- */

static void threads_are_told_in_order_and_in_reverse(void **state)
{
    graph_write(&(struct graph_spec){
        .file = "a.dll", .id = 'a', .imports = {{.module = "b.dll", .names = {"fb"}}}});
    graph_write(&(struct graph_spec){.file = "b.dll", .id = 'b', .exports = {{.name = "fb"}}});
    struct ldr_module *a = graph_must_load("a.dll");
    graph_take_log();
    ldr_thread_attach();
    assert_string_equal(graph_take_log(), "bt at");
    ldr_thread_detach();
    assert_string_equal(graph_take_log(), "au bu");
    assert_status(ldr_disable_thread_calls(ldr_find("b.dll")), STATUS_SUCCESS);
    ldr_thread_attach();
    assert_string_equal(graph_take_log(), "at");
    ldr_unload(a, NULL);
    graph_take_log();
}

static struct ldr_module *freed_inside;

static void free_inside(char id, uint32_t reason)
{
    if (id == 'a' && reason == 2)
        ldr_unload(freed_inside, NULL);
}

static void a_thread_call_may_free_its_own_module(void **state)
{
    freed_inside = graph_must_load("a.dll");
    graph_take_log();
    graph_hook = free_inside;
    ldr_thread_attach();
    graph_hook = NULL;
    assert_string_equal(graph_take_log(), "bt at a- b-");
    assert_null(ldr_find("a.dll"));
}

/* A thread of a process that loads, uses and frees with others. */
static void *load_and_free(void *opaque)
{
    const struct pebuild_tls *tls = opaque;
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "%s/multi.dll", tempdir);
    struct ldr_load_options options = {.name = path};
    struct ldr_thread record;
    void *field;
    if (!nt_ok(ldr_thread_register(&record, &field, NULL)))
        return (void *)"cannot register";
    for (int i = 0; i < 200; i++) {
        struct ldr_module *module;
        uint64_t address;
        if (!nt_ok(ldr_load(&options, &module, NULL)))
            return (void *)"cannot load";
        if (!nt_ok(ldr_symbol(module, "fm", 0, &address, NULL)))
            return (void *)"cannot find";
        uint32_t index = *(uint32_t *)(uintptr_t)(ldr_module_base(module) + tls->index_rva);
        if (memcmp(((void **)field)[index], template_words, sizeof(template_words)) != 0)
            return (void *)"has no TLS";
        ldr_thread_attach();
        if (!nt_ok(ldr_unload(module, NULL)))
            return (void *)"cannot free";
    }
    ldr_thread_unregister(&record);
    return NULL;
}

static void threads_may_load_and_free_at_once(void **state)
{
    struct pebuild_tls tls = {.template_data = template_words,
                              .template_size = sizeof(template_words)};
    pthread_t threads[4];
    graph_write(&(struct graph_spec){.file = "multi.dll",
                                     .tls = &tls,
                                     .imports = {{.module = "b.dll", .names = {"fb"}}},
                                     .exports = {{.name = "fm"}}});
    graph_write(&(struct graph_spec){.file = "b.dll", .exports = {{.name = "fb"}}});
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_and_free, &tls), 0);
    for (int i = 0; i < 4; i++) {
        void *complaint = NULL;
        assert_int_equal(pthread_join(threads[i], &complaint), 0);
        if (complaint)
            fail_msg("a thread %s", (const char *)complaint);
    }
    assert_null(ldr_find("multi.dll"));
    assert_null(ldr_find("b.dll"));
}

/* ---- static TLS ---- */

static void every_thread_has_its_block_also_of_a_late_dll(void **state)
{
    struct pebuild_tls tls;
    struct thread early, late;
    write_tls("t.dll", 't', 0, &tls);
    begin_thread(&early);
    struct ldr_module *t = graph_must_load("t.dll");
    assert_non_null(t);
    begin_thread(&late);
    uint32_t index = index_of(t, &tls);
    uint8_t *blocks[2] = {((uint8_t **)early.field)[index], ((uint8_t **)late.field)[index]};
    assert_ptr_not_equal(blocks[0], blocks[1]);
    for (int i = 0; i < 2; i++) {
        static const uint8_t zeroes[20];
        assert_memory_equal(blocks[i], template_words, sizeof(template_words));
        assert_memory_equal(blocks[i] + sizeof(template_words), zeroes, sizeof(zeroes));
    }
    memset(blocks[0], 0xFF, 8);
    assert_memory_equal(blocks[1], template_words, sizeof(template_words));
    ldr_thread_unregister(&late.record);
    assert_null(late.field);
    ldr_unload(t, NULL);
    assert_null(((void **)early.field)[index]);
    ldr_thread_unregister(&early.record);
    graph_take_log();
}

static void slots_are_numbered_from_zero_and_reused(void **state)
{
    struct pebuild_tls first, second;
    write_tls("t1.dll", 0, '1', &first);
    write_tls("t2.dll", 0, '2', &second);
    struct ldr_module *t1 = graph_must_load("t1.dll"), *t2 = graph_must_load("t2.dll");
    assert_int_equal(index_of(t1, &first), 0);
    assert_int_equal(index_of(t2, &second), 1);
    ldr_unload(t1, NULL);
    t1 = graph_must_load("t1.dll");
    assert_int_equal(index_of(t1, &first), 0);
    ldr_unload(t1, NULL);
    ldr_unload(t2, NULL);
    graph_take_log();
}

static void a_block_is_aligned_as_the_directory_says(void **state)
{
    struct thread thread;
    struct pebuild_tls tls = {.template_data = template_words,
                              .template_size = 4,
                              .characteristics = 0x00E00000}; /* 8192 bytes */
    graph_write(&(struct graph_spec){.file = "al.dll", .tls = &tls});
    begin_thread(&thread);
    struct ldr_module *al = graph_must_load("al.dll");
    uintptr_t block = (uintptr_t)((void **)thread.field)[index_of(al, &tls)];
    assert_int_equal(block % 8192, 0);
    ldr_unload(al, NULL);
    ldr_thread_unregister(&thread.record);
}

static void callbacks_come_before_the_entry_point(void **state)
{
    struct pebuild_tls tls;
    write_tls("t.dll", 't', 'k', &tls);
    struct ldr_module *t = graph_must_load("t.dll");
    assert_string_equal(graph_take_log(), "k+ t+");
    ldr_thread_attach();
    assert_string_equal(graph_take_log(), "kt tt");
    /* Static TLS needs the thread calls. */
    assert_false(nt_ok(ldr_disable_thread_calls(t)));
    ldr_unload(t, NULL);
    assert_string_equal(graph_take_log(), "k- t-");
}

static void the_template_is_taken_after_relocation(void **state)
{
    struct ldr_module *blocker = graph_must_load("t.dll");
    struct thread thread;
    struct graph_spec spec = {.file = "mv.dll", .base = ldr_module_base(blocker)};
    struct pebuild *b = graph_builder(&spec, NULL);
    uintptr_t word = (uintptr_t)b->h.image_base + 0x1234;
    struct pebuild_tls tls = {.template_data = &word, .template_size = sizeof(word)};
    pebuild_tls(b, &tls);
    uint32_t template_rva = 0;
    struct pebuild_section *section = &b->sections[b->section_count - 1];
    for (uint32_t i = 0; i + sizeof(word) <= section->data_size && !template_rva; i++)
        if (memcmp(section->data + i, &word, sizeof(word)) == 0)
            template_rva = section->virtual_address + i;
    assert_int_not_equal(template_rva, 0);
    pebuild_pointer_fixup(b, template_rva);
    pebuild_relocs(b);
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    begin_thread(&thread);
    struct ldr_module *mv = graph_must_load("mv.dll");
    assert_non_null(mv);
    assert_true(ldr_module_base(mv) != ldr_module_base(blocker));
    uintptr_t *block = ((void **)thread.field)[index_of(mv, &tls)];
    assert_true(*block == ldr_module_base(mv) + 0x1234);
    ldr_thread_unregister(&thread.record);
    ldr_unload(mv, NULL);
    ldr_unload(blocker, NULL);
    graph_take_log();
}

/* [W7-64] The index is stored before the imports are walked, so it may cut the list short. */
static void the_index_is_stored_before_imports_are_walked(void **state)
{
    struct pebuild_tls occupying;
    write_tls("t.dll", 0, 0, &occupying);
    struct pebuild_tls tls = {.template_data = template_words, .template_size = 4};
    struct graph_spec spec = {.file = "cut.dll",
                              .imports = {{.module = "host.exe", .names = {"Answer"}},
                                          {.module = "nowhere.dll", .names = {"x"}}},
                              .tls = &tls};
    struct pebuild *b = graph_builder(&spec, NULL);
    /* The index (0: the first module with TLS) goes where the second descriptor's Name is. */
    uint32_t name_rva = b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva + 20 + 12;
    struct pebuild_section *section = NULL;
    for (uint32_t i = 0; i < b->section_count; i++)
        if (tls.directory_rva - b->sections[i].virtual_address < b->sections[i].data_size)
            section = &b->sections[i];
    assert_non_null(section);
    uint8_t *field =
        section->data + (tls.directory_rva - section->virtual_address) + 2 * sizeof(void *);
    pebuild_put32(field, 0, (uint32_t)(b->h.image_base + name_rva));
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    struct ldr_module *cut = graph_must_load("cut.dll");
    assert_non_null(cut);
    ldr_unload(cut, NULL);
}

/* ---- programs ---- */

static void an_exe_as_dll_is_mapped_and_nothing_more(void **state)
{
    graph_write(&(struct graph_spec){.file = "prog.exe",
                                     .exe = true,
                                     .id = 'e',
                                     .tls_callback = 'k',
                                     .imports = {{.module = "nowhere.dll", .names = {"x"}}},
                                     .exports = {{.name = "fe"}}});
    struct ldr_module *prog = graph_must_load("prog.exe");
    uint64_t address;
    assert_non_null(prog);
    assert_status(ldr_symbol(prog, "fe", 0, &address, NULL), STATUS_SUCCESS);
    assert_null(ldr_find(NULL));
    ldr_unload(prog, NULL);
    assert_string_equal(graph_take_log(), "");
}

static void an_exe_as_dependency_is_snapped_but_not_called(void **state)
{
    graph_write(&(struct graph_spec){.file = "prog.exe",
                                     .exe = true,
                                     .id = 'e',
                                     .imports = {{.module = "b.dll", .names = {"fb"}}},
                                     .exports = {{.name = "fe"}}});
    graph_write(&(struct graph_spec){.file = "b.dll", .id = 'b', .exports = {{.name = "fb"}}});
    graph_write(&(struct graph_spec){
        .file = "user.dll", .id = 'u', .imports = {{.module = "prog.exe", .names = {"fe"}}}});
    struct ldr_module *user = graph_must_load("user.dll");
    assert_string_equal(graph_take_log(), "b+ u+");
    ldr_unload(user, NULL);
    assert_string_equal(graph_take_log(), "u- b-");
}

static void a_dll_is_no_program(void **state)
{
    struct ldr_module *module;
    assert_status(graph_load("b.dll", LDR_EXE, &module, NULL), STATUS_INVALID_IMAGE_FORMAT);
    assert_null(ldr_find("b.dll"));
}

static void a_program_pins_what_it_needs_and_ends_in_reverse(void **state)
{
    struct ldr_module *exe, *again;
    struct pe_error err = {0};
    graph_write(&(struct graph_spec){.file = "prog.exe",
                                     .exe = true,
                                     .id = 'e',
                                     .tls_callback = 'k',
                                     .imports = {{.module = "b.dll", .names = {"fb"}}}});
    assert_status(graph_load("prog.exe", LDR_EXE, &exe, &err), STATUS_SUCCESS);
    assert_string_equal(graph_take_log(), ""); /* code runs from ldr_start() on */
    assert_ptr_equal(ldr_find(NULL), exe);
    assert_ptr_equal(ldr_next(NULL), exe);
    assert_status(graph_load("prog.exe", LDR_EXE, &again, &err), STATUS_SUCCESS);
    assert_ptr_equal(again, exe);
    assert_status(ldr_start(exe, &err), STATUS_SUCCESS);
    /* A static load: lpReserved is not NULL. TLS callbacks get NULL, and an EXE's entry point is
     * not called with reasons. */
    assert_string_equal(graph_take_log(), "b* k+");
    assert_int_equal(ldr_module_references(ldr_find("b.dll")), -1);
    struct ldr_module *dynamic = graph_must_load("t.dll");
    assert_non_null(dynamic);
    graph_write(&(struct graph_spec){.file = "dyn.dll", .id = 'd'});
    assert_non_null(graph_must_load("dyn.dll"));
    assert_string_equal(graph_take_log(), "d+");
    assert_status(ldr_unload(exe, NULL), STATUS_SUCCESS);
    assert_ptr_equal(ldr_find("prog.exe"), exe);
    ldr_process_detach();
    assert_string_equal(graph_take_log(), "d_ b_ k-");
    ldr_process_detach();
    assert_string_equal(graph_take_log(), "");
    ldr_shutdown();
    assert_string_equal(graph_take_log(), "");
    assert_null(ldr_find("b.dll"));
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
        cmocka_unit_test(threads_are_told_in_order_and_in_reverse),
        cmocka_unit_test(a_thread_call_may_free_its_own_module),
        cmocka_unit_test(threads_may_load_and_free_at_once),
        cmocka_unit_test(every_thread_has_its_block_also_of_a_late_dll),
        cmocka_unit_test(slots_are_numbered_from_zero_and_reused),
        cmocka_unit_test(a_block_is_aligned_as_the_directory_says),
        cmocka_unit_test(callbacks_come_before_the_entry_point),
        cmocka_unit_test(the_template_is_taken_after_relocation),
        cmocka_unit_test(the_index_is_stored_before_imports_are_walked),
        cmocka_unit_test(an_exe_as_dll_is_mapped_and_nothing_more),
        cmocka_unit_test(an_exe_as_dependency_is_snapped_but_not_called),
        cmocka_unit_test(a_dll_is_no_program),
        cmocka_unit_test(a_program_pins_what_it_needs_and_ends_in_reverse),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
