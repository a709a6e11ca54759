/*
 * Where the image cache is: what the environment says, folders that cannot be trusted or used, and
 * no room. Whatever comes of it, nobody gets a signal and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/cache_test.h"

static struct mm_cache_entry entry;

static int place_setup(void **state)
{
    unsetenv("PELDR_CACHE");
    unsetenv("PELDR_CACHE_SIZE");
    unsetenv("XDG_CACHE_HOME");
    if (tempdir_create() != 0)
        return -1;
    setenv("HOME", tempdir, 1);
    return nt_ok(mm_cache_set_place(NULL, 0, NULL)) ? 0 : -1;
}

static void assert_folder(const char *expected)
{
    const char *why = "";
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    char *folder = mm_cache_folder(&why);
    if (folder == NULL)
        print_message("no cache: %s\n", why);
    assert_non_null(folder);
    assert_string_equal(folder, expected);
    free(folder);
}

/* There is no cache, the sentence says why, and loading goes on without. */
static void assert_no_cache(const char *reason)
{
    const char *why = "";
    assert_null(mm_cache_folder(&why));
    assert_string_equal(why, reason);
    assert_false(cache_find(1, &entry));
    assert_false(cache_build(1, &entry));
    struct pe_error err = {0};
    struct mm_cache_removed removed;
    assert_status(mm_cache_clear(&removed, &err), STATUS_OBJECT_PATH_NOT_FOUND);
    assert_non_null(strstr(err.text, reason));
}

static uint32_t files_in(const char *folder)
{
    DIR *dir = opendir(folder);
    uint32_t count = 0;
    for (struct dirent *file; dir != NULL && (file = readdir(dir)) != NULL;)
        count += file->d_name[0] != '.' && strcmp(file->d_name, "index") != 0;
    if (dir != NULL)
        closedir(dir);
    return count;
}

static void assert_works(void)
{
    assert_true(cache_load(1, &entry));
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    mm_cache_close(&entry);
}

/* ---- the environment ---------------------------------------------------------------------------
 */

static void test_environment(void **state)
{
    struct stat st;
    assert_folder(tempdir_path(".cache/peldr"));
    assert_int_equal(stat(tempdir_path(".cache"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_works();

    setenv("XDG_CACHE_HOME", "relative", 1); /* invalid by the specification */
    assert_folder(tempdir_path(".cache/peldr"));
    setenv("XDG_CACHE_HOME", "", 1);
    assert_folder(tempdir_path(".cache/peldr"));
    setenv("XDG_CACHE_HOME", tempdir_path("made/for/it"), 1);
    assert_folder(tempdir_path("made/for/it/peldr"));
    assert_int_equal(stat(tempdir_path("made/for"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_works();

    setenv("PELDR_CACHE", "", 1);
    assert_folder(tempdir_path("made/for/it/peldr"));
    setenv("PELDR_CACHE", tempdir_path("own"), 1);
    assert_folder(tempdir_path("own"));
    assert_works();
    setenv("PELDR_CACHE", "off", 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    assert_no_cache("it is off");
    setenv("PELDR_CACHE", "here", 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    assert_no_cache("PELDR_CACHE is neither an absolute path nor \"off\"");
}

/* It is looked at once: nothing happens before it is needed, and nothing changes after. */
static void test_looked_at_once(void **state)
{
    assert_int_equal(access(tempdir_path(".cache"), F_OK), -1);
    assert_works();
    setenv("HOME", tempdir_path("other"), 1);
    assert_works();
    assert_int_equal(files_in(tempdir_path(".cache/peldr")), 1);
}

static void test_no_home(void **state)
{
    unsetenv("HOME");
    assert_no_cache("neither XDG_CACHE_HOME nor HOME names a folder");
    setenv("HOME", "relative", 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    assert_no_cache("neither XDG_CACHE_HOME nor HOME names a folder");
    setenv("HOME", tempdir_path("missing"), 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    assert_no_cache("HOME is not this user's");
    assert_int_equal(access(tempdir_path("missing"), F_OK), -1);
}

/* sudo without -H: nothing of root's is left in the user's home. */
static void test_foreign_home(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(tempdir, 12345, (gid_t)-1), 0);
    assert_no_cache("HOME is not this user's");
    assert_int_equal(access(tempdir_path(".cache"), F_OK), -1);
}

static void test_limit(void **state)
{
    static const struct {
        const char *text;
        uint64_t limit;
    } rows[] = {
        {"1000000", 1000000},
        {"64K", 64 << 10},
        {"3m", 3 << 20},
        {"5G", (uint64_t)5 << 30},
        {"99999999999999999G", UINT64_MAX},
        {"", MM_CACHE_LIMIT},
        {"0", MM_CACHE_LIMIT},
        {"-1", MM_CACHE_LIMIT},
        {"5T", MM_CACHE_LIMIT},
        {"5GG", MM_CACHE_LIMIT},
        {"999999999999999999999999", MM_CACHE_LIMIT},
    };
    assert_int_equal(mm_cache_limit(), MM_CACHE_LIMIT);
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        setenv("PELDR_CACHE_SIZE", rows[i].text, 1);
        assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
        assert_int_equal(mm_cache_limit(), rows[i].limit);
    }
    assert_status(mm_cache_set_place(NULL, 4096, NULL), STATUS_SUCCESS);
    assert_int_equal(mm_cache_limit(), 4096);
}

static void test_set_place(void **state)
{
    struct pe_error err = {0};
    const char *why;
    int here = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(tempdir), 0);
    assert_status(mm_cache_set_place("here//", 0, &err), STATUS_SUCCESS);
    assert_int_equal(fchdir(here), 0);
    close(here);
    char *folder = mm_cache_folder(&why);
    assert_string_equal(folder, tempdir_path("here"));
    free(folder);
    assert_works();
    assert_status(mm_cache_set_place("off", 0, &err), STATUS_SUCCESS);
    assert_no_cache("it is off");
    assert_status(mm_cache_set_place("", 0, &err), STATUS_INVALID_PARAMETER);
    err = (struct pe_error){0};
    assert_status(mm_cache_set_place("/proc/no/such", 0, &err), STATUS_OBJECT_PATH_NOT_FOUND);
    assert_non_null(strstr(err.text, "cannot be made"));
}

/* ---- folders -----------------------------------------------------------------------------------
 */

static void set_cache(const char *path)
{
    setenv("PELDR_CACHE", path, 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
}

static void test_untrusted_folders(void **state)
{
    const mode_t modes[] = {0755, 0777, 01777, 0710, 0500, 0000, 02700};
    char path[PATH_MAX + 16];
    for (uint32_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        snprintf(path, sizeof(path), "%s/mode%u", tempdir, i);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chmod(path, modes[i]), 0);
        set_cache(path);
        const char *why;
        assert_null(mm_cache_folder(&why));
        if (modes[i] != 0 || geteuid() == 0)
            assert_string_equal(why, "its folder's mode is not 0700");
        assert_int_equal(chmod(path, 0700), 0);
        assert_int_equal(files_in(path), 0);
    }
    assert_int_equal(symlink(path, tempdir_path("link")), 0);
    set_cache(tempdir_path("link"));
    assert_no_cache("its folder is a symbolic link or no folder");
    snprintf(path, sizeof(path), "%s/link/", tempdir);
    set_cache(path);
    assert_no_cache("its folder is a symbolic link or no folder");
    tempdir_write("file", "x", 1);
    set_cache(tempdir_path("file"));
    assert_no_cache("its folder is a symbolic link or no folder");
    set_cache(tempdir_path("file/below"));
    assert_no_cache("its folder is a symbolic link or no folder");
    if (geteuid() == 0) {
        assert_int_equal(chown(tempdir_path("mode0"), 12345, (gid_t)-1), 0);
        set_cache(tempdir_path("mode0"));
        assert_no_cache("its folder belongs to another user");
    }
}

/* Opened to others while it is in use: nothing is added to it any more. */
static void test_opened_to_others(void **state)
{
    assert_works();
    assert_int_equal(chmod(tempdir_path(".cache/peldr"), 0777), 0);
    assert_false(cache_build(2, &entry));
    assert_no_cache("its folder's mode is not 0700");
}

static void test_folder_replaced(void **state)
{
    assert_works();
    assert_int_equal(rename(tempdir_path(".cache/peldr"), tempdir_path("moved")), 0);
    assert_true(cache_find(1, &entry)); /* it is still the folder that was opened */
    mm_cache_close(&entry);
    for (int i = 0; i < 2; i++) {
        char command[16];
        snprintf(command, sizeof(command), "%s", i == 0 ? "moved" : ".cache/peldr");
        DIR *dir = opendir(tempdir_path(command));
        for (struct dirent *file; (file = readdir(dir)) != NULL;)
            unlinkat(dirfd(dir), file->d_name, 0);
        closedir(dir);
        assert_int_equal(rmdir(tempdir_path(command)), 0);
        if (i == 1)
            assert_int_equal(mkdir(tempdir_path(command), 0700), 0);
        assert_false(cache_find(1, &entry));
        assert_works();
        assert_int_equal(files_in(tempdir_path(".cache/peldr")), 1);
    }
}

/* ---- in a process of its own -------------------------------------------------------------------
 */

#define NOT_HERE 77

/* Runs `body` in a child, which may change what it likes: 0 = it passed. Skips when it cannot run
 * here. */
static void in_child(void (*body)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
        skip();
    assert_int_equal(status, 0);
}

/* In a child, where cmocka's way out of a test leads nowhere. */
static void must(bool holds, int line)
{
    if (holds)
        return;
    fprintf(stderr, "line %d does not hold\n", line);
    _exit(1);
}
#define MUST(condition) must(condition, __LINE__)

static bool loads(uint32_t n)
{
    if (!cache_load(n, &entry) || !cache_is_right(n, &entry))
        return false;
    mm_cache_close(&entry);
    if (!cache_find(n, &entry))
        return false;
    mm_cache_close(&entry);
    return true;
}

static bool put_into(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* A name space of its own for mounts; without root one for users too, in which the user is itself.
 */
static bool leave_mounts(void)
{
    char user[64], group[64];
    snprintf(user, sizeof(user), "%u %u 1", geteuid(), geteuid());
    snprintf(group, sizeof(group), "%u %u 1", getegid(), getegid());
    if (geteuid() == 0)
        return unshare(CLONE_NEWNS) == 0;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put_into("/proc/self/uid_map", user) &&
           put_into("/proc/self/setgroups", "deny") && put_into("/proc/self/gid_map", group);
}

/* A file system of its own under .cache, or the end of the test. */
static void mount_tmpfs(unsigned long flags, const char *options)
{
    if (!leave_mounts() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(tempdir_path(".cache"), 0700) != 0 ||
        mount("none", tempdir_path(".cache"), "tmpfs", flags, options) != 0)
        _exit(NOT_HERE);
}

static bool is_without(const char *reason)
{
    const char *why = "";
    char *folder = mm_cache_folder(&why);
    bool same = folder == NULL && strcmp(why, reason) == 0 && !cache_load(1, &entry);
    free(folder);
    return same;
}

static void on_noexec(void)
{
    mount_tmpfs(MS_NOEXEC, "mode=700");
    MUST(is_without("its file system is mounted noexec"));
}

static void on_read_only(void)
{
    mount_tmpfs(0, "mode=700");
    MUST(mkdir(tempdir_path(".cache/peldr"), 0700) == 0);
    MUST(mount("none", tempdir_path(".cache"), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    MUST(is_without("its file system is read-only"));
}

static void test_noexec(void **state)
{
    in_child(on_noexec);
}

static void test_read_only(void **state)
{
    in_child(on_read_only);
}

/* Entries fit until none does; then there are none, and those that were there are whole. */
static void on_small_disk(void)
{
    const struct mm_cache_key big = cache_key(1000);
    struct mm_cache_build build;
    uint32_t count = 0;
    mount_tmpfs(0, "mode=700,size=256k");
    while (count < 100 && cache_load(count, &entry)) {
        MUST(cache_is_right(count, &entry));
        mm_cache_close(&entry);
        count++;
    }
    MUST(count > 5 && count < 100);
    MUST(files_in(tempdir_path(".cache/peldr")) == count);
    for (uint32_t n = 0; n < count; n++) {
        MUST(cache_find(n, &entry) && cache_is_right(n, &entry));
        mm_cache_close(&entry);
    }
    MUST(mm_cache_begin(&big, 1 << 20, &build) == MM_CACHE_UNUSABLE);
    MUST(unlink(tempdir_path(".cache/peldr/index")) == 0);
    MUST(cache_find(0, &entry));
    mm_cache_close(&entry);
}

static void test_no_room(void **state)
{
    in_child(on_small_disk);
}

/* The disk fills up between the beginning and the end. */
static void on_filling_disk(void)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_build build;
    char block[4096] = {0};
    mount_tmpfs(0, "mode=700,size=256k");
    MUST(mm_cache_begin(&key, ENTRY_PAGES * MM_PAGE, &build) == MM_CACHE_BEGUN);
    int fd = open(tempdir_path(".cache/filler"), O_WRONLY | O_CREAT, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    MUST(!cache_write(1, &build));
    MUST(!cache_commit(1, &build, &entry));
    MUST(files_in(tempdir_path(".cache/peldr")) == 0);
}

static void test_room_taken_meanwhile(void **state)
{
    in_child(on_filling_disk);
}

static void with_limited_files(void)
{
    struct rlimit limit = {8192, 8192};
    MUST(loads(1));
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0); /* SIGXFSZ would end this process */
    MUST(cache_find(1, &entry));
    mm_cache_close(&entry);
    MUST(!cache_build(2, &entry));
    MUST(files_in(tempdir_path(".cache/peldr")) == 1);
    setenv("HOME", tempdir_path("x"), 1); /* a new index does not fit, either */
    MUST(mkdir(tempdir_path("x"), 0700) == 0);
    MUST(nt_ok(mm_cache_set_place(NULL, 0, NULL)));
    MUST(!cache_build(2, &entry));
}

static void test_limited_files(void **state)
{
    in_child(with_limited_files);
}

static void without_descriptors(void)
{
    struct rlimit limit = {64, 64};
    MUST(loads(1));
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    MUST(!cache_find(1, &entry));
    MUST(!cache_build(2, &entry));
    close(63);
    MUST(cache_find(1, &entry));
    mm_cache_close(&entry);
}

static void test_no_descriptors(void **state)
{
    in_child(without_descriptors);
}

/* ---- kernels and file systems that lack something ----------------------------------------------
 */

#define ARG(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))

/* From now on a system call fails when an argument has a bit set; 0 = always. */
static void refuse(int call, uint32_t argument, uint32_t bits, int error)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, bits != 0 ? 3 : 1),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(argument)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(*rules), rules};
    if (bits == 0) { /* whatever the argument is */
        rules[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 2, 3);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(NOT_HERE);
}

static void without_unnamed_files(void)
{
    refuse(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
    MUST(loads(1));
    MUST(files_in(tempdir_path(".cache/peldr")) == 1);
    const struct mm_cache_key key = cache_key(2);
    struct mm_cache_build build;
    MUST(mm_cache_begin(&key, MM_PAGE, &build) == MM_CACHE_BEGUN);
    MUST(files_in(tempdir_path(".cache/peldr")) == 2);
    mm_cache_abandon(&build);
    MUST(files_in(tempdir_path(".cache/peldr")) == 1);
    refuse(SYS_renameat2, 4, RENAME_NOREPLACE, EINVAL);
    MUST(loads(3));
    MUST(files_in(tempdir_path(".cache/peldr")) == 2);
}

static void test_without_unnamed_files(void **state)
{
    in_child(without_unnamed_files);
}

static void without_locks(void)
{
    refuse(SYS_flock, 0, 0, ENOSYS);
    MUST(!cache_load(1, &entry));
    MUST(files_in(tempdir_path(".cache/peldr")) == 0);
}

static void test_without_locks(void **state)
{
    in_child(without_locks);
}

/* Executable mappings of files are refused by a policy, not by a mount option. */
static void without_execute(void)
{
#ifdef SYS_mmap2
    refuse(SYS_mmap2, 2, 4, EACCES);
#else
    refuse(SYS_mmap, 2, 4, EACCES);
#endif
    MUST(is_without("its files cannot be mapped executable"));
}

static void test_without_execute(void **state)
{
    in_child(without_execute);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_environment),
        TEST(test_looked_at_once),
        TEST(test_no_home),
        TEST(test_foreign_home),
        TEST(test_limit),
        TEST(test_set_place),
        TEST(test_untrusted_folders),
        TEST(test_opened_to_others),
        TEST(test_folder_replaced),
        TEST(test_noexec),
        TEST(test_read_only),
        TEST(test_no_room),
        TEST(test_room_taken_meanwhile),
        TEST(test_limited_files),
        TEST(test_no_descriptors),
        TEST(test_without_unnamed_files),
        TEST(test_without_locks),
        TEST(test_without_execute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
