/*
 * The public API: errors, flags, host modules, what can be asked of a module, running a program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/ke/later.h"
#include "loader/mm/protect.h"
#include "loader/peldr.h"
#include "tests/unit/graphimage.h"

static peldr_module *must_open(const char *file, uint32_t flags)
{
    peldr_module *module = peldr_open(tempdir_path(file), flags);
    if (module == NULL)
        fail_msg("%s", peldr_error());
    assert_null(peldr_error());
    return module;
}

/* ---- errors and flags ---- */

static void an_error_is_a_status_and_a_sentence_and_goes_with_success(void **state)
{
    assert_null(peldr_open("no_such_module", 0));
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_DLL_NOT_FOUND);
    assert_int_equal(peldr_error_win32(), 126);
    assert_ptr_equal(strstr(peldr_error(), "STATUS_DLL_NOT_FOUND: "), peldr_error());
    assert_int_equal(peldr_attach_thread(), 0);
    assert_null(peldr_error());
    assert_int_equal(peldr_error_status(), 0);
}

static void *error_of_a_fresh_thread(void *unused)
{
    return (void *)(uintptr_t)peldr_error();
}

static void errors_belong_to_their_thread(void **state)
{
    pthread_t thread;
    void *error;
    assert_null(peldr_open("no_such_module", 0));
    assert_int_equal(pthread_create(&thread, NULL, error_of_a_fresh_thread, NULL), 0);
    pthread_join(thread, &error);
    assert_null(error);
    assert_non_null(peldr_error());
}

static void bad_parameters_are_refused(void **state)
{
    static const uint32_t flags[] = {0x4,
                                     0x10,
                                     0x80,
                                     0x80000000,
                                     PELDR_ALTERED_SEARCH_PATH | PELDR_SEARCH_SYSTEM32,
                                     PELDR_EXE | PELDR_AS_DATAFILE,
                                     PELDR_EXE | PELDR_MAP_ONLY};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        assert_null(peldr_open("zlib1.dll", flags[i]));
        assert_int_equal(peldr_error_win32(), 87);
    }
    assert_null(peldr_open(NULL, 0));
    assert_int_equal(peldr_error_win32(), 87);
    assert_null(peldr_open_memory(NULL, 0, "x.dll", 0));
    assert_non_null(peldr_error());
    assert_null(peldr_open_at("zlib1.dll", 0, 0x12345000));
    assert_int_equal(peldr_error_win32(), 1132);
    assert_int_equal(peldr_close(NULL), -1);
    assert_null(peldr_sym(NULL, "x"));
    assert_int_equal(peldr_add_directory("/no/such/directory"), -1);
}

static void a_refused_image_names_its_rule(void **state)
{
    struct graph_spec spec = {.file = "rule.dll"};
    struct pebuild *b = graph_builder(&spec, NULL);
    b->h.file_alignment = 3;
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    assert_null(peldr_open(tempdir_path("rule.dll"), 0));
    assert_string_equal(peldr_error_rule(), "opt.file_alignment");
    assert_int_equal(peldr_error_win32(), 193);
}

/* ---- host modules ---- */

static int WINAPI_DEF plus_one(int value)
{
    return value + 1;
}

static void images_import_from_host_modules(void **state)
{
    char name[16] = "plus_one";
    const struct peldr_export exports[] = {{name, 0, (const void *)plus_one},
                                           {NULL, 7, (const void *)plus_one}};
    assert_int_equal(peldr_register_module("plugin_host.exe", exports, 2), 0);
    memset(name, 'x', 8); /* the table has been copied */
    uint32_t iats[GRAPH_MAX];
    struct graph_spec spec = {
        .file = "plugin.dll",
        .imports = {{.module = "plugin_host.exe", .names = {"plus_one", "#7"}}}};
    assert_true(pebuild_finish_file(graph_builder(&spec, iats), tempdir_path(spec.file)));
    peldr_module *plugin = must_open("plugin.dll", 0);
    struct peldr_module_info info;
    assert_int_equal(peldr_module_info(plugin, &info), 0);
    uintptr_t *iat = (uintptr_t *)(uintptr_t)(info.base + iats[0]);
    assert_int_equal(((int(WINAPI *)(int))iat[0])(4), 5);
    assert_int_equal(((int(WINAPI *)(int))iat[1])(5), 6);
    assert_int_equal(peldr_register_module("plugin_host.exe", exports, 2), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_OBJECT_NAME_COLLISION);
    assert_int_equal(peldr_close(plugin), 0);
    const struct peldr_export bad = {NULL, 0, (const void *)plus_one};
    assert_int_equal(peldr_register_module("bad.exe", &bad, 1), -1);
}

/* ---- asking ---- */

static void a_module_tells_about_itself(void **state)
{
    struct peldr_module_info info;
    graph_write(&(struct graph_spec){.file = "a.dll", .id = 'a', .exports = {{.name = "fa"}}});
    peldr_module *a = must_open("a.dll", 0);
    assert_int_equal(peldr_module_info(a, &info), 0);
    assert_string_equal(info.name, "a.dll");
    assert_string_equal(info.path, tempdir_path("a.dll"));
    assert_int_equal(info.machine, sizeof(void *) == 8 ? 0x8664 : 0x14C);
    assert_int_equal(info.references, 1);
    assert_false(info.builtin);
    assert_true(info.entry_point > info.base && info.entry_point < info.base + info.size);
    assert_ptr_equal(peldr_module_at(info.base + info.size - 1), a);
    assert_null(peldr_module_at(info.base - 1));
    unsigned seen = 0;
    for (peldr_module *m = NULL; (m = peldr_next_module(m)) != NULL;)
        seen += m == a;
    assert_int_equal(seen, 1);
    assert_int_equal(peldr_close(a), 0);
    assert_int_equal(peldr_module_info(a, &info), -1);
    assert_int_equal(peldr_close(a), -1);
    assert_null(peldr_sym(a, "fa"));
    assert_int_equal(peldr_error_win32(), 6);
}

static void regions_cover_the_image_in_order(void **state)
{
    struct peldr_module_info info;
    struct peldr_region region, query;
    uint32_t cursor = 0, text = 0;
    peldr_module *a = must_open("a.dll", 0);
    assert_int_equal(peldr_module_info(a, &info), 0);
    uint64_t at = info.base;
    while (peldr_next_region(a, &cursor, &region) == 1) {
        assert_true(region.address == at);
        assert_int_equal(region.rva, at - info.base);
        assert_true(region.allocation_base == info.base);
        assert_int_equal(region.type, MEM_IMAGE);
        assert_int_equal(peldr_query(region.address, &query), 0);
        assert_int_equal(query.rva, region.rva);
        assert_int_equal(query.protect, region.protect);
        if (strcmp(region.section, ".text") == 0) {
            text++;
            assert_string_equal(peldr_protect_name(region.protect), "PAGE_EXECUTE_READ");
        }
        at += region.size;
    }
    assert_true(at == info.base + info.size);
    assert_int_equal(text, 1);
    assert_int_equal(peldr_close(a), 0);
}

static void a_taken_base_shows_in_the_relocation(void **state)
{
    struct peldr_relocation relocation;
    peldr_module *a = must_open("a.dll", PELDR_MAP_ONLY);
    assert_int_equal(peldr_relocation(a, &relocation), 0);
    uint64_t preferred = relocation.preferred_base;
    bool at_base = relocation.actual_base == preferred;
    assert_string_equal(relocation.outcome, at_base ? "not_needed" : "applied");
    assert_int_equal(peldr_close(a), 0);
    if (!at_base)
        return; /* a sanitizer has the address */
    assert_int_equal(peldr_reserve(preferred, 0x10000), 0);
    assert_int_equal(peldr_reserve(preferred, 0x10000), -1);
    a = must_open("a.dll", PELDR_MAP_ONLY);
    assert_int_equal(peldr_relocation(a, &relocation), 0);
    assert_string_equal(relocation.outcome, "applied");
    assert_true(relocation.actual_base != preferred);
    assert_non_null(strstr(relocation.reason, "taken"));
    assert_int_equal(peldr_close(a), 0);
    assert_int_equal(peldr_release(preferred), 0);
    assert_int_equal(peldr_release(preferred), -1);
}

static void resolving_tells_where_a_name_comes_from(void **state)
{
    char resolved[PATH_MAX], searched[PATH_MAX];
    assert_int_equal(peldr_resolve("kernel32", NULL, 0, resolved, sizeof(resolved), NULL, 0), 2);
    assert_string_equal(resolved, "KERNEL32.dll");
    assert_int_equal(peldr_resolve("A", tempdir, 0, resolved, sizeof(resolved), NULL, 0), 1);
    assert_string_equal(resolved, tempdir_path("a.dll"));
    assert_int_equal(peldr_resolve("nowhere", tempdir, 0, resolved, sizeof(resolved), searched,
                                   sizeof(searched)),
                     0);
    assert_non_null(strstr(searched, tempdir));
}

static void bytes_load_from_memory(void **state)
{
    uint64_t size;
    struct graph_spec spec = {.file = "m.dll", .exports = {{.name = "fm"}}};
    uint8_t *bytes = pebuild_finish(graph_builder(&spec, NULL), &size);
    peldr_module *m = peldr_open_memory(bytes, size, "m.dll", 0);
    free(bytes);
    assert_non_null(m);
    int(PELDR_CDECL * fm)(void) = (int(PELDR_CDECL *)(void))(uintptr_t)peldr_sym(m, "fm");
    assert_non_null(fm);
    assert_int_equal(fm(), 7);
    assert_ptr_equal(peldr_sym_ordinal(m, 1), (void *)(uintptr_t)fm);
    assert_null(peldr_sym(m, "none"));
    assert_int_equal(peldr_error_win32(), 127);
    assert_int_equal(peldr_close(m), 0);
}

/* ---- running ---- */

static void say_at_detach(char id, uint32_t reason)
{
    if (id == 'a' && reason == 0 && write(STDOUT_FILENO, "detached", 8) != 8)
        abort();
}

/* A host that simply exits: DLL_PROCESS_DETACH is sent, with lpReserved not NULL. */
static void modules_are_detached_when_the_host_exits(void **state)
{
    int ends[2];
    char said[16] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        graph_hook = say_at_detach;
        exit(peldr_open(tempdir_path("a.dll"), 0) ? 0 : 1);
    }
    close(ends[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], said, sizeof(said)), 8);
    assert_string_equal(said, "detached");
    close(ends[0]);
}

static volatile bool exits;
static volatile int late_calls;

static void count_late_call(void)
{
    late_calls++;
}

/* main() registers it before peldr has a handler, so it runs behind that, and waits for a process
 * as AddressSanitizer's leak check does, which has its locks held meanwhile. */
static void end_late(void)
{
    if (!exits)
        return;
    pid_t child = fork();
    if (child == 0) {
        poll(NULL, 0, 8 * KE_LATER);
        _exit(0);
    }
    _exit(waitpid(child, NULL, 0) == child ? late_calls : 102);
}

static void nothing_is_put_off_beyond_the_exit_of_the_host(void **state)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        exits = true;
        if (!peldr_open(tempdir_path("a.dll"), 0) || !ke_later(count_late_call))
            _exit(100);
        exit(101);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* [all] The return address of a program's entry point lies in kernel32. */
static void an_entry_point_returns_into_kernel32(void **state)
{
    static const uint8_t code[] = {0x8B, 0x04, 0x24, 0xC3}; /* mov eax, [esp or rsp]; ret */
    graph_write(&(struct graph_spec){
        .file = "return.exe", .exe = true, .code = code, .code_size = sizeof(code)});
    pid_t child = fork();
    if (child == 0) {
        struct peldr_module_info info;
        peldr_module *exe = peldr_open(tempdir_path("return.exe"), PELDR_EXE);
        uint32_t address = exe ? (uint32_t)peldr_run(exe, 0, NULL) : 0;
        peldr_module *module = peldr_module_at(address);
        _exit(module && peldr_module_info(module, &info) == 0 &&
                      strcmp(info.name, "KERNEL32.dll") == 0
                  ? 0
                  : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_program_runs_and_returns(void **state)
{
    char *argv[] = {(char *)"prog.exe", (char *)"argument", NULL};
    static const uint8_t code[] = {0xB8, 0x2A, 0, 0, 0, 0xC3}; /* mov eax, 42; ret */
    graph_write(&(struct graph_spec){.file = "prog.exe",
                                     .exe = true,
                                     .code = code,
                                     .code_size = sizeof(code),
                                     .tls_callback = 'k',
                                     .imports = {{.module = "a.dll", .names = {"fa"}}}});
    peldr_module *a = must_open("a.dll", 0);
    graph_take_log();
    assert_int_equal(peldr_run(a, 2, argv), -1);
    assert_non_null(peldr_error());
    assert_int_equal(peldr_close(a), 0);
    assert_string_equal(graph_take_log(), "a-");
    peldr_module *prog = must_open("prog.exe", PELDR_EXE);
    assert_string_equal(graph_take_log(), "");
    assert_int_equal(peldr_run(prog, 2, argv), 42);
    assert_string_equal(graph_take_log(), "a* k+ a_ k-");
    assert_int_equal(peldr_run(prog, 2, argv), -1);
    assert_non_null(peldr_error());
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

/* ---- guarded calls ---- */

typedef void(PELDR_WINAPI *raise_exception)(uint32_t code, uint32_t flags, uint32_t count,
                                            const uintptr_t *parameters);

static raise_exception find_raise(void)
{
    peldr_module *kernel32 = peldr_open("kernel32.dll", 0);
    assert_non_null(kernel32);
    return (raise_exception)peldr_sym(kernel32, "RaiseException");
}

static void raises_with_parameters(void *user)
{
    const uintptr_t parameters[] = {7, 8};
    find_raise()(0xE0001234, 1, 2, parameters);
    *(int *)user = 1;
}

static void returns(void *user)
{
    *(int *)user = 2;
}

static void guards_inside(void *user)
{
    struct peldr_exception exception;
    int unused = 0;
    if (peldr_call_guarded(raises_with_parameters, &unused, &exception) == 1)
        *(int *)user = 3;
}

static void an_exception_is_a_value_for_the_host_that_asks(void **state)
{
    struct peldr_exception exception;
    for (int i = 0; i < 100; i++) {
        int reached = 0;
        memset(&exception, 0, sizeof(exception));
        assert_int_equal(peldr_call_guarded(raises_with_parameters, &reached, &exception), 1);
        assert_int_equal(reached, 0);
        assert_int_equal(exception.code, 0xE0001234);
        assert_int_equal(exception.flags & 1, 1);
        assert_int_equal(exception.parameter_count, 2);
        assert_int_equal(exception.parameters[0], 7);
        assert_int_equal(exception.parameters[1], 8);
        assert_int_not_equal(exception.where[0], 0);
    }
}

static void a_guarded_call_that_returns_is_a_call(void **state)
{
    struct peldr_exception exception = {.code = 5};
    int reached = 0;
    assert_int_equal(peldr_call_guarded(returns, &reached, &exception), 0);
    assert_int_equal(reached, 2);
    assert_int_equal(exception.code, 5); /* untouched */
}

static void the_innermost_guard_takes_the_exception(void **state)
{
    int reached = 0;
    assert_int_equal(peldr_call_guarded(guards_inside, &reached, NULL), 0);
    assert_int_equal(reached, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_a_status_and_a_sentence_and_goes_with_success),
        cmocka_unit_test(errors_belong_to_their_thread),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(a_refused_image_names_its_rule),
        cmocka_unit_test(images_import_from_host_modules),
        cmocka_unit_test(a_module_tells_about_itself),
        cmocka_unit_test(regions_cover_the_image_in_order),
        cmocka_unit_test(a_taken_base_shows_in_the_relocation),
        cmocka_unit_test(resolving_tells_where_a_name_comes_from),
        cmocka_unit_test(bytes_load_from_memory),
        cmocka_unit_test(an_exception_is_a_value_for_the_host_that_asks),
        cmocka_unit_test(a_guarded_call_that_returns_is_a_call),
        cmocka_unit_test(the_innermost_guard_takes_the_exception),
        cmocka_unit_test(modules_are_detached_when_the_host_exits),
        cmocka_unit_test(nothing_is_put_off_beyond_the_exit_of_the_host),
        cmocka_unit_test(an_entry_point_returns_into_kernel32),
        cmocka_unit_test(a_program_runs_and_returns),
    };
    if (atexit(end_late) != 0)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
