/*
 * Records: one namespace for all types and processes, names that live as long as a holder, contents
 * that are never half-written or somebody else's, and bytes of other processes that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/name.h"
#include "loader/ob/record_file.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

/* ---- two types of objects -----------------------------------------------------------------------
 */

struct thing {
    struct ob_object object;
    struct ob_record *record;
};

static int destroyed;

static void thing_destroy(struct ob_object *object)
{
    struct thing *thing = (struct thing *)object;
    destroyed++;
    if (thing->record)
        ob_record_close(thing->record);
}

static const struct ob_type apple_type = {.name = "Apple", .destroy = thing_destroy};
static const struct ob_type pear_type = {.name = "Pear", .destroy = thing_destroy};

static nt_status attach(const struct ob_type *type, struct ob_record *record,
                        struct ob_object **out, struct pe_error *err)
{
    struct thing *thing = ob_object_create(type, sizeof *thing);
    thing->record = record;
    if (strcmp(ob_record_body(record), "unwanted") == 0) {
        ob_object_unref(&thing->object);
        return pe_fail(err, STATUS_FILE_INVALID, "unwanted");
    }
    *out = &thing->object;
    return STATUS_SUCCESS;
}

static nt_status attach_apple(struct ob_record *record, struct ob_object **out,
                              struct pe_error *err)
{
    return attach(&apple_type, record, out, err);
}

static nt_status attach_pear(struct ob_record *record, struct ob_object **out, struct pe_error *err)
{
    return attach(&pear_type, record, out, err);
}

static struct ob_record *record_of(struct ob_object *object)
{
    return ((struct thing *)object)->record;
}

static const struct ob_record_type apple = {&apple_type, OB_TYPE_SECTION, attach_apple, record_of};
static const struct ob_record_type pear = {&pear_type, OB_TYPE_EVENT, attach_pear, record_of};

static char *body_of(struct ob_object *object)
{
    return ob_record_body(record_of(object));
}

static nt_status fill_text(void *user, void *body, int fd, struct pe_error *err)
{
    strcpy(body, user);
    return STATUS_SUCCESS;
}

/* ---- names --------------------------------------------------------------------------------------
 */

/* Units of ASCII text, in one of a few rotating buffers. */
static const uint16_t *wide(const char *text)
{
    static uint16_t buffers[4][128];
    static int turn;
    uint16_t *out = buffers[turn++ % 4];
    size_t i = 0;
    for (; text[i]; i++)
        out[i] = (uint8_t)text[i];
    out[i] = 0;
    return out;
}

static struct ob_name name_of(const char *text)
{
    return (struct ob_name){wide(text), strlen(text)};
}

static nt_status create(const char *name, const struct ob_record_type *type, const char *content,
                        struct ob_object **out)
{
    const struct ob_name wanted = name_of(name);
    const struct ob_record_init init = {.type = type, .fill = fill_text, .user = (void *)content};
    return ob_record_create(&wanted, false, &init, out, NULL);
}

static nt_status open_it(const char *name, const struct ob_record_type *type,
                         struct ob_object **out)
{
    const struct ob_name wanted = name_of(name);
    return ob_record_open(&wanted, false, type, out, NULL);
}

static unsigned files(void)
{
    unsigned count = 0;
    DIR *stream = opendir(tempdir_path("peldr"));
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    if (stream)
        closedir(stream);
    return count;
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *stream = opendir("/proc/self/fd");
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

static int set_up(void **state)
{
    return tempdir_create() == 0 && setenv("XDG_RUNTIME_DIR", tempdir, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

/* ---- processes ----------------------------------------------------------------------------------
 */

static void wait_for_exit_0(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void kill_hard(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A child that creates an apple and holds it until it is killed. */
static pid_t start_holder(const char *name, const char *content)
{
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct ob_object *object;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!nt_ok(create(name, &apple, content, &object)) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

/* ---- tests --------------------------------------------------------------------------------------
 */

static void names_have_one_object_of_one_type(void **state)
{
    struct ob_object *first, *second, *third;
    assert_status(create("x", &apple, "first", &first), STATUS_SUCCESS);
    assert_status(create("x", &apple, "second", &second), STATUS_OBJECT_NAME_EXISTS);
    assert_ptr_equal(first, second);
    assert_status(open_it("x", &apple, &third), STATUS_SUCCESS);
    assert_ptr_equal(first, third);
    assert_string_equal(body_of(third), "first");
    assert_status(create("x", &pear, "other", &second), STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(open_it("x", &pear, &second), STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(open_it("X", &apple, &second), STATUS_OBJECT_NAME_NOT_FOUND);
    struct ob_name name = ob_record_name(record_of(first));
    assert_int_equal(name.length, 1);
    assert_int_equal(name.text[0], 'x');
    destroyed = 0;
    ob_object_unref(first);
    ob_object_unref(first);
    assert_int_equal(files(), 1);
    ob_object_unref(first);
    assert_int_equal(destroyed, 1);
    assert_int_equal(files(), 0);
    assert_status(open_it("x", &apple, &second), STATUS_OBJECT_NAME_NOT_FOUND);
}

static void the_global_directory_is_another_one(void **state)
{
    const struct ob_record_init init = {.type = &apple, .fill = fill_text, .user = (void *)"g"};
    const struct ob_name name = name_of("x");
    struct ob_object *local, *global;
    assert_status(create("x", &apple, "l", &local), STATUS_SUCCESS);
    assert_status(ob_record_create(&name, true, &init, &global, NULL), STATUS_SUCCESS);
    assert_string_equal(body_of(local), "l");
    assert_string_equal(body_of(global), "g");
    ob_object_unref(local);
    ob_object_unref(global);
}

static void processes_share_names_and_bodies(void **state)
{
    struct ob_object *object;
    assert_status(create("shared", &apple, "from parent", &object), STATUS_SUCCESS);
    pid_t pid = fork();
    if (pid == 0) {
        struct ob_object *mine;
        if (create("shared", &apple, "from child", &mine) != (nt_status)STATUS_OBJECT_NAME_EXISTS)
            _exit(1);
        if (strcmp(body_of(mine), "from parent") != 0)
            _exit(2);
        strcpy(body_of(mine), "changed");
        _exit(0);
    }
    wait_for_exit_0(pid);
    assert_string_equal(body_of(object), "changed");
    ob_object_unref(object);
    assert_int_equal(files(), 0);
}

static void a_name_lives_in_any_holder(void **state)
{
    struct ob_object *object;
    pid_t pid = start_holder("held", "one");
    assert_status(create("held", &apple, "two", &object), STATUS_OBJECT_NAME_EXISTS);
    assert_string_equal(body_of(object), "one");
    kill_hard(pid);
    assert_string_equal(body_of(object), "one");
    ob_object_unref(object);
    assert_int_equal(files(), 0);
    assert_status(open_it("held", &apple, &object), STATUS_OBJECT_NAME_NOT_FOUND);
}

static void a_killed_holder_leaves_nothing_that_counts(void **state)
{
    struct ob_object *object;
    kill_hard(start_holder("dead", "old"));
    assert_int_equal(files(), 1);
    assert_status(open_it("dead", &apple, &object), STATUS_OBJECT_NAME_NOT_FOUND);
    kill_hard(start_holder("dead", "old"));
    assert_status(create("dead", &apple, "new", &object), STATUS_SUCCESS);
    assert_string_equal(body_of(object), "new");
    ob_object_unref(object);
    assert_int_equal(files(), 0);
}

/* Another process's next use of the directory clears it. */
static void dead_files_are_swept(void **state)
{
    struct ob_object *object;
    pid_t living = start_holder("living", "l"), one = start_holder("dead1", "x"),
          two = start_holder("dead2", "x"), three = start_holder("dead3", "x");
    kill_hard(one);
    kill_hard(two);
    assert_int_equal(files(), 4);
    assert_status(create("mine", &apple, "m", &object), STATUS_SUCCESS); /* first use: sweeps */
    assert_int_equal(files(), 3);
    kill_hard(three);
    assert_int_equal(files(), 3);
    pid_t pid = fork();
    if (pid == 0) {
        struct ob_object *other;
        if (!nt_ok(create("other", &apple, "o", &other)) || files() != 4)
            _exit(1);
        ob_backing_leave(); /* as at its end: its own and the dead one go */
        _exit(files() == 2 ? 0 : 2);
    }
    wait_for_exit_0(pid);
    ob_object_unref(object);
    kill_hard(living);
}

static void exit_leaves_nothing(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct ob_object *object;
        if (!nt_ok(create("forgotten", &apple, "f", &object)))
            _exit(1);
        exit(0); /* with the handle open, as images do */
    }
    wait_for_exit_0(pid);
    assert_int_equal(files(), 0);
}

/* A forked child that ends does not end its parent's hold. */
static void a_forked_child_holds_nothing(void **state)
{
    struct ob_object *object, *again;
    assert_status(create("kept", &apple, "k", &object), STATUS_SUCCESS);
    pid_t pid = fork();
    if (pid == 0) {
        ob_object_unref(object);
        exit(0);
    }
    wait_for_exit_0(pid);
    assert_int_equal(files(), 1);
    pid = fork();
    if (pid == 0)
        _exit(create("kept", &apple, "n", &again) == (nt_status)STATUS_OBJECT_NAME_EXISTS ? 0 : 1);
    wait_for_exit_0(pid);
    ob_object_unref(object);
    assert_int_equal(files(), 0);
}

static nt_status fill_extra(void *user, void *body, int fd, struct pe_error *err)
{
    return pwrite(fd, "extra", 5, OB_RECORD_UNIT) == 5 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

static void extra_follows_at_the_granularity(void **state)
{
    const struct ob_name name = name_of("extra"), none = {0};
    const struct ob_record_init init = {
        .type = &apple, .extra = 1 << 20, .reserve = true, .fill = fill_extra};
    struct ob_object *object;
    for (int named = 0; named < 2; named++) {
        uint64_t size;
        struct stat st;
        char content[6] = {0};
        assert_status(ob_record_create(named ? &name : &none, false, &init, &object, NULL),
                      STATUS_SUCCESS);
        struct ob_record *record = record_of(object);
        assert_int_equal(ob_record_extra(record, &size), OB_RECORD_UNIT);
        assert_int_equal(size, 1 << 20);
        assert_int_equal(fstat(ob_record_fd(record), &st), 0);
        assert_int_equal(st.st_size, OB_RECORD_UNIT + (1 << 20));
        assert_in_range(st.st_blocks * 512, 1 << 20, (1 << 20) + 4 * 4096);
        assert_int_equal(pread(ob_record_fd(record), content, 5, OB_RECORD_UNIT), 5);
        assert_string_equal(content, "extra");
        assert_int_equal(ob_record_name(record).length, named ? 5 : 0);
        ob_object_unref(object);
    }
}

static void no_room_for_extra(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = {1 << 20, 1 << 20};
        const struct ob_name name = name_of("full");
        const struct ob_record_init init = {.type = &apple, .extra = 1 << 21, .reserve = true};
        struct ob_object *object;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        if (ob_record_create(&name, false, &init, &object, NULL) != (nt_status)STATUS_DISK_FULL)
            _exit(1);
        _exit(files());
    }
    wait_for_exit_0(pid);
    const struct ob_name name = name_of("huge");
    struct ob_object *object;
    const struct ob_record_init huge = {.type = &apple, .extra = UINT64_MAX - 5};
    assert_status(ob_record_create(&name, false, &huge, &object, NULL), STATUS_SECTION_TOO_BIG);
}

static nt_status refuse(void *user, void *body, int fd, struct pe_error *err)
{
    return pe_fail(err, STATUS_NO_MEMORY, "not today");
}

static void failures_leave_nothing(void **state)
{
    const struct ob_name name = name_of("failed");
    const struct ob_record_init init = {.type = &apple, .fill = refuse};
    struct ob_object *object, *warm;
    assert_status(create("warm", &apple, "w", &warm), STATUS_SUCCESS);
    unsigned before = descriptors();
    for (int i = 0; i < 20; i++) {
        assert_status(ob_record_create(&name, false, &init, &object, NULL), STATUS_NO_MEMORY);
        assert_status(create("unwanted", &apple, "unwanted", &object), STATUS_FILE_INVALID);
        assert_status(create("", &apple, "unwanted", &object), STATUS_FILE_INVALID);
        assert_status(open_it("missing", &apple, &object), STATUS_OBJECT_NAME_NOT_FOUND);
        assert_status(create("warm", &pear, "w", &object), STATUS_OBJECT_TYPE_MISMATCH);
    }
    assert_int_equal(files(), 1);
    assert_int_equal(descriptors(), before);
    ob_object_unref(warm);
    assert_int_equal(descriptors(), before - 2); /* the record and the directory */
}

/* ---- what others have written -------------------------------------------------------------------
 */

static char *path_of(const char *name)
{
    static char path[2 * PATH_MAX];
    char key[OB_NAME_KEY];
    const struct ob_name wanted = name_of(name);
    ob_name_key(&wanted, false, key);
    snprintf(path, sizeof path, "%s/%s", tempdir_path("peldr"), key);
    return path;
}

static void rewrite_header(const char *name, size_t offset, uint64_t value, size_t size)
{
    int fd = open(path_of(name), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, size, (off_t)offset), size);
    close(fd);
}

static void damaged_records_are_refused(void **state)
{
    static const struct {
        size_t offset, size;
        uint64_t value;
        nt_status status;
    } cases[] = {
#define FIELD(f) offsetof(struct ob_record_header, f), sizeof((struct ob_record_header){0}.f)
        {FIELD(magic), 0, STATUS_FILE_INVALID},
        {FIELD(type_id), 0, STATUS_FILE_INVALID},
        {FIELD(type_id), OB_TYPE_COUNT, STATUS_FILE_INVALID},
        {FIELD(type_id), OB_TYPE_MUTEX, STATUS_OBJECT_TYPE_MISMATCH},
        {FIELD(global), 7, STATUS_FILE_INVALID},
        {FIELD(global), 1, STATUS_OBJECT_NAME_COLLISION},
        {FIELD(name_units), 0, STATUS_OBJECT_NAME_COLLISION},
        {FIELD(name_units), 6, STATUS_OBJECT_NAME_COLLISION},
        {FIELD(name_units), 5000, STATUS_FILE_INVALID},
        {FIELD(name_units), 0xFFFFFFFF, STATUS_FILE_INVALID},
        {FIELD(name_at), 0, STATUS_FILE_INVALID},
        {FIELD(name_at), 4096, STATUS_FILE_INVALID},
        {FIELD(name_at), UINT64_MAX, STATUS_FILE_INVALID},
        {FIELD(extra_size), 1, STATUS_FILE_INVALID},
        {FIELD(extra_size), UINT64_MAX, STATUS_FILE_INVALID},
#undef FIELD
        {sizeof(struct ob_record_header), 2, 'z', STATUS_OBJECT_NAME_COLLISION}, /* the name */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ob_object *object, *again;
        pid_t pid = start_holder("hurt", "content");
        rewrite_header("hurt", cases[i].offset, cases[i].value, cases[i].size);
        assert_status(open_it("hurt", &apple, &object), cases[i].status);
        assert_status(create("hurt", &apple, "c", &object), cases[i].status);
        kill_hard(pid);
        assert_status(create("hurt", &apple, "fresh", &again), STATUS_SUCCESS);
        assert_string_equal(body_of(again), "fresh");
        ob_object_unref(again);
    }
}

static void short_files_are_refused(void **state)
{
    static const off_t sizes[] = {0, 1, 39, 40, 4095};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ob_object *object;
        pid_t pid = start_holder("short", "content");
        assert_int_equal(truncate(path_of("short"), sizes[i]), 0);
        assert_status(open_it("short", &apple, &object), STATUS_FILE_INVALID);
        kill_hard(pid);
    }
}

static void assert_refused(nt_status status)
{
    struct ob_object *object;
    const struct ob_name none = {0};
    const struct ob_record_init init = {.type = &apple, .fill = fill_text, .user = (void *)"u"};
    assert_status(create("x", &apple, "x", &object), status);
    assert_status(open_it("x", &apple, &object), status);
    assert_status(ob_record_create(&none, false, &init, &object, NULL), STATUS_SUCCESS);
    assert_string_equal(body_of(object), "u"); /* what has no name needs no directory */
    ob_object_unref(object);
}

static void foreign_directories_are_refused(void **state)
{
    const char *path = tempdir_path("peldr");
    assert_int_equal(symlink("/tmp", path), 0);
    assert_refused(STATUS_ACCESS_DENIED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    assert_refused(STATUS_ACCESS_DENIED);
    assert_int_equal(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_refused(STATUS_ACCESS_DENIED);
    }
}

/* ---- rounds of kills ----------------------------------------------------------------------------
 */

enum { WORKERS = 4, NAMES = 20, KILL_ROUNDS = 200, EXTRA = 3 * 4096 };

/* What a body of these tests holds; `extra` is filled with `pattern` as well. */
struct content {
    uint64_t pattern;
    uint32_t writes[WORKERS];
};

static nt_status fill_content(void *user, void *body, int fd, struct pe_error *err)
{
    uint8_t extra[EXTRA];
    memset(extra, 0x5A, sizeof extra);
    ((struct content *)body)->pattern = 0x5A5A5A5A5A5A5A5A;
    for (int part = 0; part < 3; part++) /* slowly enough to be killed in between */
        if (pwrite(fd, extra + part * 4096, 4096, OB_RECORD_UNIT + part * 4096) != 4096)
            return STATUS_UNSUCCESSFUL;
    return STATUS_SUCCESS;
}

static bool is_whole(struct ob_object *object)
{
    uint8_t extra[EXTRA];
    const struct content *content = ob_record_body(record_of(object));
    if (content->pattern != 0x5A5A5A5A5A5A5A5A ||
        pread(ob_record_fd(record_of(object)), extra, EXTRA, OB_RECORD_UNIT) != EXTRA)
        return false;
    for (int i = 0; i < EXTRA; i++)
        if (extra[i] != 0x5A)
            return false;
    return true;
}

/* Opens one of the names, writes to it as long as it has it, and finds its own writes there. */
static int use_a_name(int worker, unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "name %u", number);
    const struct ob_name name = name_of(text);
    const struct ob_record_init init = {
        .type = number % 2 ? &apple : &pear, .extra = EXTRA, .fill = fill_content};
    struct ob_object *object;
    nt_status status = ob_record_create(&name, number % 3 == 0, &init, &object, NULL);
    if (!nt_ok(status))
        return 10;
    if (!is_whole(object))
        return 11;
    struct content *content = ob_record_body(record_of(object));
    if (status == STATUS_SUCCESS && content->writes[worker] != 0)
        return 12; /* fresh, and somebody has been here as me */
    uint32_t before = content->writes[worker];
    for (int i = 0; i < 20; i++)
        content->writes[worker]++;
    struct ob_object *again;
    if (ob_record_open(&name, number % 3 == 0, init.type, &again, NULL) != STATUS_SUCCESS)
        return 13; /* it is held: its name must be there */
    if (again != object || content->writes[worker] != before + 20)
        return 14;
    ob_object_unref(again);
    ob_object_unref(object);
    return 0;
}

static void work(int worker, unsigned seed, volatile const int *stop)
{
    int result = 0;
    while (result == 0 && !*stop)
        result = use_a_name(worker, (unsigned)rand_r(&seed) % NAMES);
    exit(result);
}

static void kills_leave_nothing_stale(void **state)
{
    int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned seed = 4711;
    for (int round = 0; round < KILL_ROUNDS; round++) {
        pid_t pids[WORKERS];
        *stop = 0;
        for (int i = 0; i < WORKERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                work(i, (unsigned)(round * WORKERS + i), stop);
            assert_true(pids[i] > 0);
        }
        usleep(1000 + (unsigned)rand_r(&seed) % 5000);
        int victim = rand_r(&seed) % WORKERS;
        kill_hard(pids[victim]);
        *stop = 1;
        for (int i = 0; i < WORKERS; i++)
            if (i != victim)
                wait_for_exit_0(pids[i]);
        assert_int_equal(files(), 0);
    }
    munmap(stop, 4096);
}

/* ---- odd names ----------------------------------------------------------------------------------
 */

static void any_units_make_a_name(void **state)
{
    static const uint16_t odd[] = {'.', '.', '/', 0xD800, 0xFFFF, 1, 0, 'a'};
    const struct ob_record_init init = {.type = &apple, .fill = fill_text, .user = (void *)"odd"};
    const struct ob_name name = {odd, 8};
    struct ob_object *object, *again;
    assert_status(ob_record_create(&name, false, &init, &object, NULL), STATUS_SUCCESS);
    assert_status(ob_record_open(&name, false, &apple, &again, NULL), STATUS_SUCCESS);
    assert_ptr_equal(object, again);
    assert_memory_equal(ob_record_name(record_of(object)).text, odd, sizeof odd);
    ob_object_unref(object);
    ob_object_unref(object);
}

static void the_longest_names(void **state)
{
    static const size_t lengths[] = {490,  491,   492,   493,   494,
                                     4000, 30719, 30720, 30721, OB_NAME_MAX};
    static uint16_t text[OB_NAME_MAX + 2];
    for (size_t i = 0; i < OB_NAME_MAX + 1; i++)
        text[i] = 'a' + i % 26;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const struct ob_name name = {text, lengths[i]};
        const struct ob_record_init init = {
            .type = &apple, .extra = 4096, .fill = fill_text, .user = (void *)"long"};
        struct ob_object *object, *again;
        uint64_t size;
        assert_status(ob_record_create(&name, false, &init, &object, NULL), STATUS_SUCCESS);
        assert_status(ob_record_create(&name, false, &init, &again, NULL),
                      STATUS_OBJECT_NAME_EXISTS);
        assert_ptr_equal(object, again);
        assert_memory_equal(ob_record_name(record_of(object)).text, text, lengths[i] * 2);
        uint64_t at = ob_record_extra(record_of(object), &size);
        assert_int_equal(at, lengths[i] > 30720 ? 0x20000 : 0x10000);
        ob_object_unref(object);
        ob_object_unref(object);
    }
    struct ob_name name;
    bool global;
    assert_status(ob_name_parse(text, &name, &global), STATUS_OBJECT_NAME_INVALID);
    text[OB_NAME_MAX] = 0;
    assert_status(ob_name_parse(text, &name, &global), STATUS_SUCCESS);
    assert_int_equal(name.length, OB_NAME_MAX);
}

static void prefixes(void **state)
{
    static const struct {
        const char *text, *rest;
        bool global;
        nt_status status;
    } cases[] = {
        {"", "", false, STATUS_SUCCESS},
        {"a", "a", false, STATUS_SUCCESS},
        {"..", "..", false, STATUS_SUCCESS},
        {"a/b", "a/b", false, STATUS_SUCCESS},
        {"Local\\a", "a", false, STATUS_SUCCESS},
        {"Global\\a", "a", true, STATUS_SUCCESS},
        {"Session\\1\\a", "a", false, STATUS_SUCCESS},
        {"Session\\0\\a", "a", true, STATUS_SUCCESS},
        {"Local\\Local\\a", "a", false, STATUS_SUCCESS},
        {"Global\\Local\\a", "a", true, STATUS_SUCCESS},
        {"Localx", "Localx", false, STATUS_SUCCESS},
        {"local\\a", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"GLOBAL\\a", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"a\\b", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"Local\\a\\b", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"Session\\2\\a", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"Session\\a", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"..\\a", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"a\\", NULL, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"Local\\", NULL, false, STATUS_OBJECT_NAME_INVALID},
        {"Global\\\\a", NULL, false, STATUS_OBJECT_NAME_INVALID},
        {"Local", NULL, false, STATUS_OBJECT_TYPE_MISMATCH},
        {"Global\\Global", NULL, false, STATUS_OBJECT_TYPE_MISMATCH},
        {"\\a", NULL, false, STATUS_OBJECT_PATH_SYNTAX_BAD},
    };
    struct ob_name name;
    bool global;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(ob_name_parse(wide(cases[i].text), &name, &global), cases[i].status);
        if (!cases[i].rest)
            continue;
        assert_int_equal(global, cases[i].global);
        assert_int_equal(name.length, strlen(cases[i].rest));
        assert_memory_equal(name.text, wide(cases[i].rest), name.length * 2);
    }
    assert_status(ob_name_parse(NULL, &name, &global), STATUS_SUCCESS);
    assert_int_equal(name.length, 0);
}

static void absolute_names(void **state)
{
    static const struct {
        const char *text;
        bool ignore_case, global;
        nt_status status;
    } cases[] = {
        {"\\BaseNamedObjects\\a", false, true, STATUS_SUCCESS},
        {"\\Sessions\\1\\BaseNamedObjects\\a", false, false, STATUS_SUCCESS},
        {"\\Sessions\\BNOLINKS\\1\\a", false, false, STATUS_SUCCESS},
        {"\\BaseNamedObjects\\Session\\1\\a", false, false, STATUS_SUCCESS},
        {"\\BaseNamedObjects\\Local\\a", false, true, STATUS_SUCCESS},
        {"\\Sessions\\1\\BaseNamedObjects\\Global\\a", false, true, STATUS_SUCCESS},
        {"\\BASENamedObjects\\a", true, true, STATUS_SUCCESS},
        {"\\BASENamedObjects\\a", false, true, STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\Sessions\\7\\BaseNamedObjects\\a", false, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\Sessions\\1\\a", false, false, STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\a", false, true, STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\", false, true, STATUS_OBJECT_TYPE_MISMATCH},
        {"\\BaseNamedObjects", false, true, STATUS_OBJECT_TYPE_MISMATCH},
        {"\\BaseNamedObjects\\", false, true, STATUS_OBJECT_NAME_INVALID},
        {"a", false, true, STATUS_OBJECT_PATH_SYNTAX_BAD},
    };
    struct ob_name name;
    bool global;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(ob_name_parse_nt(wide(cases[i].text), strlen(cases[i].text) * 2,
                                       cases[i].ignore_case, &name, &global),
                      cases[i].status);
        if (!nt_ok(cases[i].status))
            continue;
        assert_int_equal(global, cases[i].global);
        assert_int_equal(name.length, 1);
        assert_int_equal(name.text[0], 'a');
    }
    assert_status(ob_name_parse_nt(wide("\\a"), 3, false, &name, &global),
                  STATUS_OBJECT_NAME_INVALID);
    assert_status(ob_name_parse_nt(NULL, 0, false, &name, &global), STATUS_SUCCESS);
    assert_int_equal(name.length, 0);
}

/* ---- looking ------------------------------------------------------------------------------------
 */

struct seen {
    int count;
    bool content;
};

static void see(void *user, const struct ob_record_info *info)
{
    struct seen *seen = user;
    seen->count++;
    if (strcmp(info->name, "Global\\\xC3\xA9\xEF\xBF\xBD\xF0\x9F\x98\x80") == 0)
        seen->content = info->type_id == OB_TYPE_SECTION && strcmp(info->body, "seen") == 0 &&
                        info->extra_size == 4096;
}

static void live_names_are_listed(void **state)
{
    static const uint16_t text[] = {0xE9, 0xDC00, 0xD83D, 0xDE00};
    const struct ob_name name = {text, 4};
    const struct ob_record_init init = {
        .type = &apple, .extra = 4096, .fill = fill_text, .user = (void *)"seen"};
    struct ob_object *object;
    struct seen seen = {0};
    pid_t pid = start_holder("other", "o");
    kill_hard(start_holder("dead", "d"));
    assert_status(ob_record_create(&name, true, &init, &object, NULL), STATUS_SUCCESS);
    kill_hard(start_holder("dead", "d"));
    unsigned before = descriptors();
    assert_status(ob_record_each(see, &seen, NULL), STATUS_SUCCESS);
    assert_int_equal(seen.count, 2);
    assert_true(seen.content);
    assert_int_equal(descriptors(), before);
    ob_object_unref(object);
    kill_hard(pid);
    seen.count = 0;
    assert_status(ob_record_each(see, &seen, NULL), STATUS_SUCCESS);
    assert_int_equal(seen.count, 0);
}

/* ---- parcels ------------------------------------------------------------------------------------
 */

static void parcels_hold_the_object(void **state)
{
    for (int named = 0; named < 2; named++) {
        struct ob_object *object, *again, *other;
        struct ob_parcel parcel = {0};
        assert_status(create(named ? "sent" : "", &apple, "content", &object), STATUS_SUCCESS);
        assert_status(ob_record_pack(record_of(object), &apple, &parcel, NULL), STATUS_SUCCESS);
        assert_int_equal(parcel.type, OB_TYPE_SECTION);
        assert_int_equal(parcel.fd_count, 1);
        ob_object_unref(object);
        assert_int_equal(files(), named);
        assert_status(ob_record_unpack(&parcel, &apple, &again, NULL), STATUS_SUCCESS);
        assert_string_equal(body_of(again), "content");
        assert_status(ob_record_pack(record_of(again), &apple, &parcel, NULL), STATUS_SUCCESS);
        assert_status(ob_record_unpack(&parcel, &apple, &other, NULL), STATUS_SUCCESS);
        assert_ptr_equal(other, again); /* one process has one object of it */
        if (named)
            assert_status(open_it("sent", &apple, &other), STATUS_SUCCESS);
        if (named)
            ob_object_unref(other);
        ob_object_unref(again);
        ob_object_unref(again);
        assert_int_equal(files(), 0);
    }
}

static void hostile_parcels_are_refused(void **state)
{
    struct ob_object *object, *other;
    struct ob_parcel parcel = {0};
    int pipes[2];
    assert_status(create("", &apple, "content", &object), STATUS_SUCCESS);
    unsigned before = descriptors();
    assert_status(ob_record_unpack(&parcel, &apple, &other, NULL), STATUS_INVALID_PARAMETER);
    assert_int_equal(pipe(pipes), 0);
    parcel = (struct ob_parcel){.fd_count = 1, .fds = {pipes[0]}};
    assert_status(ob_record_unpack(&parcel, &apple, &other, NULL), STATUS_FILE_INVALID);
    close(pipes[1]);
    assert_status(ob_record_pack(record_of(object), &apple, &parcel, NULL), STATUS_SUCCESS);
    assert_status(ob_record_unpack(&parcel, &pear, &other, NULL), STATUS_OBJECT_TYPE_MISMATCH);
    /* The same bytes in memory that can be cut short under a mapping. */
    char bytes[OB_RECORD_PAGE];
    assert_int_equal(pread(ob_record_fd(record_of(object)), bytes, sizeof bytes, 0), sizeof bytes);
    int fd = memfd_create("loose", 0);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    parcel.fds[0] = fd;
    assert_status(ob_record_unpack(&parcel, &apple, &other, NULL), STATUS_ACCESS_DENIED);
    assert_int_equal(descriptors(), before);
    ob_object_unref(object);
}

static void descriptors_are_found_beyond_the_soft_limit(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit;
        struct ob_object *object;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 40;
        if (limit.rlim_max < 300 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
            _exit(0);
        for (int i = 0; i < 200; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            if (!nt_ok(create(i % 2 ? name : "", &apple, "c", &object)))
                _exit(1);
        }
        exit(0);
    }
    wait_for_exit_0(pid);
    assert_int_equal(files(), 0);
}

#define RECORD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORD_TEST(names_have_one_object_of_one_type),
        RECORD_TEST(the_global_directory_is_another_one),
        RECORD_TEST(processes_share_names_and_bodies),
        RECORD_TEST(a_name_lives_in_any_holder),
        RECORD_TEST(a_killed_holder_leaves_nothing_that_counts),
        RECORD_TEST(dead_files_are_swept),
        RECORD_TEST(exit_leaves_nothing),
        RECORD_TEST(a_forked_child_holds_nothing),
        RECORD_TEST(extra_follows_at_the_granularity),
        RECORD_TEST(no_room_for_extra),
        RECORD_TEST(failures_leave_nothing),
        RECORD_TEST(damaged_records_are_refused),
        RECORD_TEST(short_files_are_refused),
        RECORD_TEST(foreign_directories_are_refused),
        RECORD_TEST(kills_leave_nothing_stale),
        RECORD_TEST(any_units_make_a_name),
        RECORD_TEST(the_longest_names),
        RECORD_TEST(prefixes),
        RECORD_TEST(absolute_names),
        RECORD_TEST(live_names_are_listed),
        RECORD_TEST(parcels_hold_the_object),
        RECORD_TEST(hostile_parcels_are_refused),
        RECORD_TEST(descriptors_are_found_beyond_the_soft_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
