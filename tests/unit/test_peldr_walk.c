/*
 * Looking at other processes: the regions of a program and of a library host, what they share, and
 * processes that cannot be looked at or that lie.
 *
 * The test program is its own host: with "host" as argument it loads the DLL that is named next,
 * creates named objects, and stays until its standard input ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <time.h>

#include <cmocka.h>

#include "loader/mm/protect.h"
#include "loader/peldr.h"
#include "loader/peldr_walk.h"
#include "tests/samples.h"
#include "tests/unit/linger.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

enum { UNIT = 0x10000 };

K32(CreateEventA, HANDLE, void *, BOOL, BOOL, const char *)
K32(CreateMutexA, HANDLE, void *, BOOL, const char *)
K32(CreateSemaphoreA, HANDLE, void *, LONG, LONG, const char *)

/* ---- the host ---- */

static int host_main(const char *dll)
{
    char c;
    if (win32_test_setup(NULL) != 0 || !peldr_open(dll, 0))
        return 1;
    peldr_section *section =
        peldr_section_create("walk.section", -1, 3 * UNIT, PELDR_PAGE_READWRITE, NULL);
    char *view = section ? peldr_section_map(section, PELDR_MAP_WRITE, UNIT, UNIT, NULL) : NULL;
    if (!view || !CreateEventA(NULL, 0, 0, "walk.event") || !CreateMutexA(NULL, 0, "walk.mutex") ||
        !CreateSemaphoreA(NULL, 1, 2, "Global\\walk.semaphore"))
        return 2;
    view[0] = 1;
    printf("view %p\n", (void *)view);
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}

static uint64_t start_host(struct linger *host, const char *dll)
{
    char *argv[] = {"/proc/self/exe", "host", (char *)dll, NULL};
    char line[256];
    uint64_t view = 0;
    if (!linger_spawn(host, argv, line, sizeof line) || sscanf(line, "view %" SCNx64, &view) != 1)
        fail_msg("the host said \"%s\"", line);
    return view;
}

/* ---- samples ---- */

struct place {
    const char *command;
    char exe[SAMPLE_PATH_MAX], dll[SAMPLE_PATH_MAX];
};

static bool find_place(struct place *place)
{
    place->command = getenv("PELDR_TEST_COMMAND");
    for (const char *const *set = sample_sets; place->command && *set; set++)
        if (sample_path(*set, "linger.exe", place->exe) &&
            sample_path(*set, "elsewhere.dll", place->dll))
            return true;
    return false;
}

/* ---- walking ---- */

struct found {
    uint64_t at; /* the next region begins here */
    unsigned regions, holes;
    uint64_t wanted;
    struct peldr_walked_region region; /* that holds `wanted` */
    char name[512];
    const char *module; /* counted below */
    unsigned of_module;
};

static int look(void *user, const struct peldr_walked_region *r)
{
    struct found *found = user;
    found->holes += r->address != found->at;
    found->at = r->address + r->size;
    found->regions++;
    if (found->wanted >= r->address && found->wanted - r->address < r->size) {
        found->region = *r;
        snprintf(found->name, sizeof found->name, "%s", r->name);
    }
    found->of_module += found->module && strcmp(r->name, found->module) == 0;
    return 0;
}

static struct found find_region(pid_t pid, uint64_t address, const char *module)
{
    struct found found = {.wanted = address, .module = module};
    if (peldr_walk((uint32_t)pid, look, &found) != 0)
        fail_msg("%s", peldr_error());
    assert_int_equal(found.holes, 0); /* every address is in one region */
    assert_true(found.region.size != 0);
    return found;
}

static void regions_of_a_program(void **state)
{
    struct place place;
    struct linger one;
    struct found f;
    if (!find_place(&place))
        skip();
    assert_true(linger_start(&one, place.command, place.exe, place.dll));

    f = find_region(one.pid, one.constants, place.exe);
    assert_string_equal(f.name, place.exe);
    assert_true(f.of_module >= 4);
    assert_int_equal(f.region.state, MEM_COMMIT);
    assert_int_equal(f.region.type, MEM_IMAGE);
    assert_int_equal(f.region.protect, PAGE_READONLY);
    assert_true(f.region.counted);
    assert_true(f.region.resident_bytes >= LINGER_PAGES * 4096);
    assert_int_equal(f.region.private_bytes, 0);
    assert_int_equal(f.region.committed, f.region.size);

    /* The second page of the data has been written, the third only read. */
    f = find_region(one.pid, one.data + 4096, NULL);
    assert_int_equal(f.region.protect, PAGE_READWRITE);
    assert_int_equal(f.region.private_bytes, f.region.size);
    assert_int_equal(f.region.size, 4096);
    f = find_region(one.pid, one.data + 2 * 4096, NULL);
    assert_int_equal(f.region.protect, PAGE_WRITECOPY);
    assert_int_equal(f.region.private_bytes, 0);

    f = find_region(one.pid, 0, NULL);
    assert_int_equal(f.region.state, MEM_FREE);
    assert_string_equal(f.name, "");
    assert_int_equal(linger_end(&one, 0), 0);
}

static void a_second_instance_is_shared(void **state)
{
    struct place place;
    struct linger one, two;
    struct found f;
    if (!find_place(&place))
        skip();
    assert_true(linger_start(&one, place.command, place.exe, NULL));
    f = find_region(one.pid, one.constants, NULL);
    assert_int_equal(f.region.shared_bytes, 0);
    assert_true(linger_start(&two, place.command, place.exe, NULL));
    f = find_region(one.pid, one.constants, NULL);
    assert_true(f.region.shared_bytes >= LINGER_PAGES * 4096);
    f = find_region(one.pid, one.data + 4096, NULL);
    assert_int_equal(f.region.shared_bytes, 0);
    assert_int_equal(linger_end(&two, 0), 0);
    assert_int_equal(linger_end(&one, 0), 0);
}

static int count_module(void *user, const struct peldr_walked_module *module)
{
    const char **paths = user;
    if (strcmp(module->path, paths[0]) == 0) {
        paths[0] = "found";
        assert_int_equal(module->builtin, 0);
    }
    if (module->builtin && strcasecmp(module->name, "kernel32.dll") == 0)
        paths[1] = "found";
    return 0;
}

static void a_library_host(void **state)
{
    struct place place;
    struct linger host;
    struct found f;
    if (!find_place(&place))
        skip();
    uint64_t view = start_host(&host, place.dll);
    const char *paths[2] = {place.dll, ""};
    assert_int_equal(peldr_walk_modules((uint32_t)host.pid, count_module, paths), 0);
    assert_string_equal(paths[0], "found");
    assert_string_equal(paths[1], "found");

    f = find_region(host.pid, view, place.dll);
    assert_true(f.of_module >= 3);
    assert_int_equal(f.region.type, MEM_MAPPED);
    assert_int_equal(f.region.address, view);
    assert_int_equal(f.region.size, UNIT);
    assert_int_equal(f.region.protect, PAGE_READWRITE);
    assert_true(f.region.resident_bytes >= 4096);
    assert_int_equal(f.region.private_bytes, 0); /* of the section, not of the process */
    assert_int_equal(linger_end(&host, 0), 0);
}

/* The kernel's list and the walk agree: what is mapped is not free, and the other way round. */
static void the_kernel_agrees(void **state)
{
    struct place place;
    struct linger one;
    char path[64], line[4096];
    unsigned mappings = 0;
    uint64_t begin, end;
    if (!find_place(&place))
        skip();
    assert_true(linger_start(&one, place.command, place.exe, NULL));
    snprintf(path, sizeof path, "/proc/%d/maps", (int)one.pid);
    FILE *maps = fopen(path, "r");
    while (fgets(line, sizeof line, maps)) {
        assert_int_equal(sscanf(line, "%" SCNx64 "-%" SCNx64, &begin, &end), 2);
        if (end - 1 > 0x7fffffffffff) /* [vsyscall] is no memory of the process */
            continue;
        assert_int_not_equal(find_region(one.pid, begin, NULL).region.state, MEM_FREE);
        assert_int_not_equal(find_region(one.pid, end - 1, NULL).region.state, MEM_FREE);
        mappings++;
    }
    fclose(maps);
    assert_true(mappings > 20);
    assert_int_equal(linger_end(&one, 0), 0);
}

static int stop_at_three(void *user, const struct peldr_walked_region *r)
{
    return ++*(int *)user == 3 ? 42 : 0;
}

static void a_walk_can_be_ended(void **state)
{
    int count = 0;
    assert_int_equal(peldr_walk((uint32_t)getpid(), stop_at_three, &count), 42);
    assert_int_equal(count, 3);
}

static void a_process_walks_itself(void **state)
{
    static const char here[] = "in the test program";
    struct found f = find_region(getpid(), (uintptr_t)here, NULL);
    assert_non_null(strstr(f.name, "test_peldr_walk"));
    assert_int_equal(f.region.type, MEM_MAPPED);
}

/* ---- processes that cannot be looked at ---- */

static int nothing(void *user, const struct peldr_walked_region *r)
{
    return 0;
}

static void assert_refused(pid_t pid, nt_status status, const char *text)
{
    assert_int_equal(peldr_walk((uint32_t)pid, nothing, NULL), -1);
    assert_string_equal(peldr_status_name(peldr_error_status()), nt_status_name(status));
    if (!strstr(peldr_error(), text))
        fail_msg("\"%s\" does not say \"%s\"", peldr_error(), text);
}

/* A child that does not use peldr, as `user` if that is not 0. */
static pid_t start_stranger(unsigned user)
{
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if ((user && setuid(user) != 0) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static void end_stranger(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void processes_without_peldr(void **state)
{
    pid_t pid = start_stranger(0);
    assert_refused(pid, STATUS_INVALID_CID, "peldr does not run in process");
    end_stranger(pid);
    assert_refused(pid, STATUS_INVALID_CID, "there is no process");
    assert_refused(0, STATUS_INVALID_CID, "there is no process 0");
    assert_refused(-1, STATUS_INVALID_CID, "there is no process");
}

static void processes_of_others(void **state)
{
    if (geteuid() == 0) {
        pid_t pid = start_stranger(65534);
        assert_refused(pid, STATUS_ACCESS_DENIED, "belongs to user 65534");
        end_stranger(pid);
    } else {
        assert_refused(1, STATUS_ACCESS_DENIED, "belongs to user 0");
    }
}

static void a_process_that_is_stopped(void **state)
{
    struct place place;
    struct linger one;
    int status;
    if (!find_place(&place))
        skip();
    assert_true(linger_start(&one, place.command, place.exe, NULL));
    kill(one.pid, SIGSTOP);
    assert_int_equal(waitpid(one.pid, &status, WUNTRACED), one.pid);
    assert_refused(one.pid, STATUS_IO_TIMEOUT, "is stopped");
    kill(one.pid, SIGCONT);
    assert_int_equal(waitpid(one.pid, &status, WCONTINUED), one.pid);
    assert_int_equal(linger_end(&one, 0), 0);
}

/* ---- processes that lie ---- */

/* Two regions that make sense, as raw material. */
struct lie {
    struct walk_header header;
    struct walk_region first;
    char name[8];
    struct walk_region second;
} __attribute__((packed));

static const struct lie truth = {
    .header = {WALK_REGIONS_MAGIC, 2},
    .first = {.base = 0, .size = UNIT, .state = MEM_FREE, .name_size = 8},
    .name = "a\033[2Jb\n",
    .second = {.base = UNIT, .size = UNIT, .state = MEM_COMMIT},
};

static void spoil(int kind, struct lie *lie, uint32_t *size)
{
    switch (kind) {
    case 1:
        *size = 0;
        break;
    case 2:
        *size = sizeof lie->header - 1;
        break;
    case 3:
        lie->header.magic++;
        break;
    case 4:
        lie->header.count = UINT32_MAX;
        break;
    case 5:
        *size -= 1;
        break;
    case 6:
        lie->first.name_size = UINT32_MAX;
        break;
    case 7:
        lie->second.name_size = 1;
        break;
    case 8:
        lie->second.size = 0;
        break;
    case 9:
        lie->second.size = UINT64_MAX;
        break;
    case 10:
        lie->second.base = UNIT - 4096; /* overlaps */
        break;
    }
}
enum { LIES = 11 }; /* 0 is the truth */

static int lying;

static void answer_with_lie(struct ob_message *request, struct ob_message *reply)
{
    struct lie lie = truth;
    uint32_t size = sizeof lie;
    spoil(lying, &lie, &size);
    reply->status = ob_message_set(reply, &lie, size);
}

static void answer_with_modules(struct ob_message *request, struct ob_message *reply)
{
    const struct {
        struct walk_header header;
        struct walk_module module;
    } lie = {{WALK_MODULES_MAGIC, 1}, {.base = UNIT, .size = UINT64_MAX, .name_size = 5}};
    reply->status = ob_message_set(reply, &lie, sizeof lie);
}

static pid_t start_liar(int kind)
{
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        lying = kind;
        ob_service_register(OB_REQUEST_REGIONS, answer_with_lie);
        ob_service_register(OB_REQUEST_MODULES, answer_with_modules);
        if (!nt_ok(ob_service_start(NULL)) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static int names_are_harmless(void *user, const struct peldr_walked_region *r)
{
    for (const char *p = r->name; *p; p++)
        assert_true((unsigned char)*p >= 0x20);
    ++*(int *)user;
    return 0;
}

static void what_others_say_is_checked(void **state)
{
    for (int kind = 0; kind < LIES; kind++) {
        pid_t pid = start_liar(kind);
        int seen = 0, result = peldr_walk((uint32_t)pid, names_are_harmless, &seen);
        if (kind == 0) {
            assert_int_equal(result, 0);
            assert_int_equal(seen, 2);
        } else {
            assert_int_equal(result, -1);
            assert_string_equal(peldr_status_name(peldr_error_status()), "STATUS_DATA_ERROR");
            assert_true(seen < 2 || kind == 4);
        }
        const char *paths[2] = {"", ""};
        assert_int_equal(peldr_walk_modules((uint32_t)pid, count_module, paths), -1);
        assert_string_equal(peldr_status_name(peldr_error_status()), "STATUS_DATA_ERROR");
        end_stranger(pid);
    }
}

/* ---- objects ---- */

struct listed {
    const char *name;
    char type[16];
    uint64_t size;
    uint32_t protect, holder_count, holders[8];
};

static int find_object(void *user, const struct peldr_object *o)
{
    struct listed *listed = user;
    if (strcmp(o->name, listed->name) != 0)
        return 0;
    snprintf(listed->type, sizeof listed->type, "%s", o->type);
    listed->size = o->size;
    listed->protect = o->protect;
    listed->holder_count = o->holder_count;
    for (uint32_t i = 0; i < o->holder_count && i < 8; i++)
        listed->holders[i] = o->holders[i];
    return 1;
}

/* The type is "" when there is no such object. */
static struct listed list_object(const char *name)
{
    struct listed listed = {.name = name};
    if (peldr_each_object(find_object, &listed) < 0)
        fail_msg("%s", peldr_error());
    return listed;
}

/*
 * The same of an image, with so many holders, which are asked: where a machine is busy one may not
 * have answered in time, so they are asked again.
 */
static struct listed list_image(const char *name, uint32_t holder_count)
{
    struct listed listed = list_object(name);
    const time_t begun = time(NULL);
    while (listed.holder_count != holder_count && time(NULL) - begun < 60) {
        usleep(10000);
        listed = list_object(name);
    }
    assert_string_equal(listed.type, "image");
    assert_int_equal(listed.holder_count, holder_count);
    return listed;
}

static void objects_and_their_holders(void **state)
{
    static const char *const names[][2] = {
        {"walk.event", "event"}, {"walk.mutex", "mutex"}, {"Global\\walk.semaphore", "semaphore"}};
    struct place place;
    struct linger one, two;
    struct listed l;
    char dll[SAMPLE_PATH_MAX], own[32];
    if (!find_place(&place))
        skip();
    /* An image of its own: other tests may have the sample loaded, or are this one. All processes
     * of the user are asked, whatever runtime directory they have. */
    snprintf(own, sizeof own, "own-%d.dll", (int)getpid());
    snprintf(dll, sizeof dll, "%s", tempdir_path(own));
    sample_copy(place.dll, dll);
    assert_string_equal(list_object("walk.section").type, "");
    start_host(&one, dll);
    l = list_object("walk.section");
    assert_string_equal(l.type, "section");
    assert_int_equal(l.size, 3 * UNIT);
    assert_int_equal(l.protect, PAGE_READWRITE);
    assert_int_equal(l.holder_count, 1);
    assert_int_equal(l.holders[0], one.pid);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        l = list_object(names[i][0]);
        assert_string_equal(l.type, names[i][1]);
        assert_int_equal(l.holder_count, 1);
        assert_int_equal(l.holders[0], one.pid);
    }

    start_host(&two, dll);
    assert_int_equal(list_object("walk.section").holder_count, 2);
    l = list_image(own, 2);
    assert_true(l.size >= 0x3000);
    assert_true(l.holders[0] == (uint32_t)one.pid || l.holders[1] == (uint32_t)one.pid);
    assert_true(l.holders[0] == (uint32_t)two.pid || l.holders[1] == (uint32_t)two.pid);
    assert_int_equal(linger_end(&one, SIGKILL), SIGKILL);
    l = list_object("walk.section");
    assert_int_equal(l.holder_count, 1);
    assert_int_equal(l.holders[0], two.pid);
    assert_int_equal(linger_end(&two, 0), 0);
    assert_string_equal(list_object("walk.section").type, "");
    assert_string_equal(list_object(own).type, "");
}

/* ---- the command ---- */

/* What the command prints (malloc'ed); `status` gets its exit status. */
static char *output_of(const char *command, const char *arguments, int *status)
{
    char line[2 * SAMPLE_PATH_MAX];
    size_t size = 0, room = 1 << 20;
    char *text = malloc(room);
    snprintf(line, sizeof line, "%s %s 2>&1", command, arguments);
    FILE *out = popen(line, "r");
    assert_non_null(out);
    for (size_t got; (got = fread(text + size, 1, room - 1 - size, out)) > 0;)
        size += got;
    text[size] = '\0';
    *status = WEXITSTATUS(pclose(out));
    return text;
}

static void assert_prints(const char *command, int expected, const char *arguments,
                          const char *const *wanted)
{
    int status;
    char *text = output_of(command, arguments, &status);
    assert_null(strchr(text, '\033')); /* no colour where there is no terminal */
    for (; *wanted; wanted++)
        if (!strstr(text, *wanted))
            fail_msg("peldr %s: no \"%s\" in\n%s", arguments, *wanted, text);
    assert_int_equal(status, expected);
    free(text);
}

/* No line of a table is wider than a terminal, file names at its end aside. */
static void assert_narrow(const char *command, const char *arguments)
{
    int status;
    char *text = output_of(command, arguments, &status), *next = text;
    for (char *line; (line = strsep(&next, "\n"));)
        if (strlen(line) > 100 && !strchr(line, '/'))
            fail_msg("%zu columns: %s", strlen(line), line);
    free(text);
}

static void check_walk(const char *command, const char *exe, pid_t pid)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "walk %d", (int)pid);
    assert_prints(command, 0, arguments,
                  (const char *const[]){"linger.exe", "KERNEL32.dll", "EXECUTE_READ", "[stack]",
                                        "free", "summary", "image ", NULL});
    assert_narrow(command, arguments);
    snprintf(arguments, sizeof arguments, "walk --json %d", (int)pid);
    assert_prints(command, 0, arguments,
                  (const char *const[]){"\"schema\": \"peldr.walk/1\"",
                                        "\"committed_kib\": ", "\"protect\": \"PAGE_EXECUTE_READ\"",
                                        exe, "\"type\": \"image\"", "\"summary\"",
                                        "\"shared_kib\": ", "\"builtin\": true", NULL});
}

/* Each word size looks at processes of both. */
static void the_command_walks(void **state)
{
    static const char *const suffixes[] = {"", "32"};
    struct place place;
    struct linger one;
    char other[SAMPLE_PATH_MAX];
    if (!find_place(&place))
        skip();
    assert_true(linger_start(&one, place.command, place.exe, NULL));
    size_t length = strlen(place.command) - (sizeof(void *) == 4 ? 2 : 0);
    for (int i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%.*s%s", (int)length, place.command, suffixes[i]);
        if (access(other, X_OK) == 0)
            check_walk(other, place.exe, one.pid);
    }
    assert_int_equal(linger_end(&one, 0), 0);
}

static void the_command_refuses(void **state)
{
    struct place place;
    char arguments[64];
    if (!find_place(&place))
        skip();
    pid_t pid = start_stranger(0);
    snprintf(arguments, sizeof arguments, "walk %d", (int)pid);
    assert_prints(place.command, 1, arguments,
                  (const char *const[]){"peldr: STATUS_INVALID_CID: peldr does not run", NULL});
    end_stranger(pid);
    snprintf(arguments, sizeof arguments, "walk --json %d", (int)pid);
    assert_prints(place.command, 1, arguments,
                  (const char *const[]){"\"status\": \"STATUS_INVALID_CID\"", "no process", NULL});
    assert_prints(place.command, 2, "walk 12x",
                  (const char *const[]){"12x is not a process id", NULL});
    assert_prints(place.command, 2, "walk -- -5", (const char *const[]){"-5 is not a", NULL});
    assert_prints(place.command, 2, "walk", (const char *const[]){"PID is missing", NULL});
    assert_prints(place.command, 2, "sections x", (const char *const[]){"too many", NULL});
    assert_prints(place.command, 0, "walk --help",
                  (const char *const[]){"Examples:", "peldr walk --json", NULL});
    assert_prints(place.command, 0, "sections --help",
                  (const char *const[]){"Examples:", "--all", NULL});
}

static void the_command_lists(void **state)
{
    struct place place;
    struct linger host;
    char id[16];
    if (!find_place(&place))
        skip();
    assert_prints(place.command, 0, "sections --all",
                  (const char *const[]){"section", "(none)", NULL});
    start_host(&host, place.dll);
    snprintf(id, sizeof id, "%d", (int)host.pid);
    assert_prints(place.command, 0, "sections",
                  (const char *const[]){"walk.section", "192K", "READWRITE", "(paging file)", id,
                                        place.dll, NULL});
    assert_prints(place.command, 0, "sections --all",
                  (const char *const[]){"walk.event", "Global\\walk.semaphore", "mutex", NULL});
    assert_prints(place.command, 0, "sections --json --all",
                  (const char *const[]){"\"schema\": \"peldr.sections/1\"", "\"holders\": [",
                                        "\"size\": \"0x30000\"", "\"COMMIT\"",
                                        "\"type\": \"semaphore\"", "\"path\": null", NULL});
    assert_narrow(place.command, "sections --all");
    assert_int_equal(linger_end(&host, 0), 0);
}

static int set_up(void **state)
{
    return tempdir_create() == 0 && setenv("XDG_RUNTIME_DIR", tempdir, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

#define WALK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WALK_TEST(regions_of_a_program),
        WALK_TEST(a_second_instance_is_shared),
        WALK_TEST(a_library_host),
        WALK_TEST(the_kernel_agrees),
        WALK_TEST(a_walk_can_be_ended),
        WALK_TEST(a_process_walks_itself),
        WALK_TEST(processes_without_peldr),
        WALK_TEST(processes_of_others),
        WALK_TEST(a_process_that_is_stopped),
        WALK_TEST(what_others_say_is_checked),
        WALK_TEST(objects_and_their_holders),
        WALK_TEST(the_command_walks),
        WALK_TEST(the_command_refuses),
        WALK_TEST(the_command_lists),
    };
    if (argc > 2 && strcmp(argv[1], "host") == 0)
        return host_main(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
