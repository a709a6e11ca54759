/*
 * One image section object for all processes that load an image file: found by those who come
 * later, gone with the last holder, never anything else than what the file says.
 *
 * The test process itself never loads anything, so that each child starts its own registry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "loader/mm/data.h"
#include "loader/mm/maps.h"
#include "loader/ob/image_registry.h"
#include "tests/pebuild.h"
#include "tests/unit/tempdir.h"

enum { DATA_RVA = 0x2000, BASE = 0x61000000, MAX_HOLDERS = 16 };

/* What a process has mapped. */
struct seen {
    uint64_t inode;      /* of the object behind the code */
    uint64_t base;       /* of the view */
    uint64_t image_base; /* as the mapped header shows it */
    char data[8];
    nt_status status;
};

struct holder {
    pid_t pid;
    int reports, orders;
    struct seen seen;
};

/* What a child does before it loads. */
struct scene {
    bool occupied;     /* somebody has the image's base */
    bool dies_filling; /* killed when its object is created, but not finished */
};

/* ---- in a child ---- */

static struct seen look_at(struct mm_view *view)
{
    const struct pe_headers *h = &mm_view_image(view)->h;
    uint64_t base = mm_view_base(view);
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)base;
    struct seen seen = {.base = base};
    struct mm_map_entry entry;
    struct mm_maps maps;
    for (bool more = mm_maps_open(&maps); more && mm_maps_next(&maps, &entry);)
        if (entry.start <= base + 0x1000 && entry.end > base + 0x1000)
            seen.inode = entry.inode;
    mm_maps_close(&maps);
    memcpy(&seen.image_base, bytes + h->optional_header_offset + (h->pe32_plus ? 24 : 28),
           h->pe32_plus ? 8 : 4);
    memcpy(seen.data, bytes + DATA_RVA, sizeof seen.data);
    return seen;
}

static struct seen load(const char *path, const struct scene *scene)
{
    struct mm_map_options options = {.shared_fd = -1};
    struct mm_section *section;
    struct mm_view *view;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t base = BASE, size = 0x10000;
    if (scene->occupied)
        mm_alloc(&base, &size, MEM_RESERVE, PAGE_NOACCESS, NULL);
    ob_image_registry_start();
    nt_status status = mm_section_create_image(fd, path, PE_WINDOWS_10, &section, NULL);
    if (scene->dies_filling)
        raise(SIGKILL);
    if (nt_ok(status))
        status = mm_view_map(section, &options, &view, NULL, 0, NULL);
    if (nt_ok(status))
        status = mm_view_patch_image_base(view, NULL);
    if (nt_ok(status))
        status = mm_view_seal(view, NULL);
    close(fd);
    return nt_ok(status) ? look_at(view) : (struct seen){.status = status};
}

/* Loads, reports, and holds until it is told to end. */
static void child(const char *path, const struct scene *scene, int reports, int orders)
{
    char c;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct seen seen = load(path, scene);
    if (write(reports, &seen, sizeof seen) != sizeof seen)
        _exit(1);
    exit(read(orders, &c, 1) == 1 ? 0 : 1);
}

/* ---- in the test ---- */

static void start(struct holder *holder, const char *path, const struct scene *scene)
{
    int reports[2], orders[2];
    assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    holder->pid = fork();
    assert_true(holder->pid >= 0);
    if (holder->pid == 0) {
        close(reports[0]);
        close(orders[1]);
        child(path, scene, reports[1], orders[0]);
    }
    close(reports[1]);
    close(orders[0]);
    holder->reports = reports[0];
    holder->orders = orders[1];
}

static bool hear(struct holder *holder)
{
    memset(&holder->seen, 0, sizeof holder->seen);
    return read(holder->reports, &holder->seen, sizeof holder->seen) == sizeof holder->seen;
}

static struct holder hold_as(const char *path, const struct scene *scene)
{
    struct holder holder;
    start(&holder, path, scene);
    assert_true(hear(&holder));
    assert_int_equal(holder.seen.status, STATUS_SUCCESS);
    assert_true(holder.seen.inode != 0);
    return holder;
}

static struct holder hold(const char *path)
{
    return hold_as(path, &(struct scene){0});
}

static void end(struct holder *holder, int signal_number)
{
    int status;
    if (signal_number)
        kill(holder->pid, signal_number);
    else
        assert_int_equal(write(holder->orders, "x", 1), 1);
    close(holder->orders);
    close(holder->reports);
    assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
    assert_int_equal(status, signal_number);
}

static void let_the_clock_tick(void)
{
    const struct timespec pause = {.tv_nsec = 60000000};
    nanosleep(&pause, NULL);
}

static void write_image(const char *name, const char *text)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0));
    b->h.image_base = BASE;
    b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    pebuild_section(b, ".text", PEBUILD_TEXT, "\xc3", 1, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, text, 8, 0);
    assert_int_equal(pebuild_next_rva(b), DATA_RVA + 0x1000);
    pebuild_relocs(b);
    assert_true(pebuild_finish_file(b, tempdir_path(name)));
}

/* The path stays valid for two calls, while tempdir_path()'s does not for a whole test. */
static const char *new_image(const char *name)
{
    static char paths[2][2 * PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 2];
    write_image(name, "initial");
    let_the_clock_tick();
    return strcpy(path, tempdir_path(name));
}

/* ---- tests ---- */

static void all_processes_share_one_object(void **state)
{
    const char *path = new_image("a.dll");
    struct holder first = hold(path), second = hold(path), third;
    assert_true(second.seen.inode == first.seen.inode);
    assert_string_equal(second.seen.data, "initial");
    end(&first, 0); /* the one that built it */
    third = hold(path);
    assert_true(third.seen.inode == second.seen.inode);
    end(&second, SIGKILL);
    end(&third, SIGKILL);
    first = hold(path);
    assert_true(first.seen.inode != third.seen.inode); /* it went with its last holder */
    end(&first, 0);
    assert_int_equal(access(tempdir_path("peldr/images"), F_OK), -1);
}

static void those_who_start_together_share(void **state)
{
    struct holder holders[MAX_HOLDERS];
    for (int round = 0; round < 5; round++) {
        const char *path = new_image("together.dll");
        for (int i = 0; i < MAX_HOLDERS; i++)
            start(&holders[i], path, &(struct scene){0});
        for (int i = 0; i < MAX_HOLDERS; i++) {
            assert_true(hear(&holders[i]));
            assert_true(holders[i].seen.inode == holders[0].seen.inode);
        }
        for (int i = 0; i < MAX_HOLDERS; i++)
            end(&holders[i], i % 2 ? SIGKILL : 0);
    }
}

/* Nobody waits for a process that was killed before its object was finished, or gets its object. */
static void a_builder_that_is_killed(void **state)
{
    const char *path = new_image("killed.dll");
    for (int i = 0; i < 3; i++) {
        struct holder victim, next;
        start(&victim, path, &(struct scene){.dies_filling = true});
        assert_false(hear(&victim));
        end(&victim, SIGKILL);
        next = hold(path);
        assert_string_equal(next.seen.data, "initial");
        end(&next, 0);
    }
}

/* A base that one process had to choose is not what another one sees in the header. */
static void no_base_leaks(void **state)
{
    const char *path = new_image("moved.dll");
    const struct scene occupied = {.occupied = true};
    struct holder moved = hold_as(path, &occupied), other = hold(path), again;
    assert_true(other.seen.inode == moved.seen.inode);
    assert_true(moved.seen.base != BASE);
    assert_true(moved.seen.image_base == moved.seen.base);
    assert_true(other.seen.base == BASE);
    assert_true(other.seen.image_base == BASE);
    again = hold_as(path, &occupied);
    assert_true(again.seen.image_base == again.seen.base);
    end(&moved, 0);
    end(&other, 0);
    end(&again, 0);
}

static void put_content(const char *path, const char *text)
{
    size_t size;
    char *bytes;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size = (size_t)st.st_size;
    bytes = malloc(size);
    assert_int_equal(pread(fd, bytes, size, 0), size);
    for (size_t i = 0; i + 8 <= size; i++)
        if (memcmp(bytes + i, "initial", 8) == 0)
            assert_int_equal(pwrite(fd, text, 8, (off_t)i), 8);
    /* What a careful forger, or `cp -p`, does. */
    assert_int_equal(futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim}), 0);
    close(fd);
    free(bytes);
}

/* Size and modification time are those of the image that another process has. */
static void a_file_that_was_written_is_another_image(void **state)
{
    const char *path = new_image("written.dll");
    struct holder old = hold(path), new;
    put_content(path, "changed");
    new = hold(path);
    assert_true(new.seen.inode != old.seen.inode);
    assert_string_equal(new.seen.data, "changed");
    end(&new, 0);
    end(&old, 0);
}

/* Written, loaded, written and loaded within one tick of the file system's clock: 40 times, since
 * the tick may fall in between. */
static void a_file_that_was_just_written(void **state)
{
    int shared = 0;
    for (int i = 0; i < 40; i++) {
        struct holder old, same, new;
        const char *path = tempdir_path("fresh.dll");
        write_image("fresh.dll", "initial");
        old = hold(path);
        same = hold(path); /* unchanged: compared, and the same */
        shared += same.seen.inode == old.seen.inode;
        put_content(path, "changed");
        new = hold(path);
        assert_string_equal(same.seen.data, "initial");
        assert_string_equal(new.seen.data, "changed");
        end(&old, 0);
        end(&same, 0);
        end(&new, 0);
    }
    assert_int_equal(shared, 40);
}

/* ---- a registry that lies ---- */

struct slot {
    uint64_t holder, key;
};

static struct slot *map_table(void)
{
    int fd = open(tempdir_path("peldr/images"), O_RDWR | O_CLOEXEC);
    void *table = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(table, MAP_FAILED);
    close(fd);
    return table;
}

/* Descriptors that are not what the table says: of this process, which lives on. */
static int make_lie(int kind)
{
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int fd, ends[2];
    switch (kind) {
    case 0: /* blocks whoever reads it */
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        close(ends[1]);
        return ends[0];
    case 1: /* never finished */
        return memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    case 2: /* of the right size, sealed, without a label */
        fd = memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, 0x5000), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
    case 3:
        return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    case 4:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    default:
        return 10000; /* none */
    }
}

static void the_table_is_only_a_hint(void **state)
{
    const char *path = new_image("hint.dll");
    for (int kind = 0; kind < 7; kind++) {
        struct holder witness = hold(path), next;
        struct slot *table = map_table();
        int lie = make_lie(kind), changed = 0;
        for (int i = 0; i < 4096; i++)
            if (table[i].holder >> 32 == (uint64_t)witness.pid) {
                table[i].holder = (uint64_t)getpid() << 32 | ((uint32_t)lie + 1);
                changed++;
            }
        if (kind == 6) /* noise everywhere */
            for (int i = 0; i < 65536; i++)
                ((uint8_t *)table)[i] = (uint8_t)(i * 2654435761u >> 13);
        assert_int_equal(changed, 1);
        next = hold(path);
        assert_true(next.seen.inode != witness.seen.inode);
        assert_string_equal(next.seen.data, "initial");
        munmap(table, 65536);
        end(&next, 0);
        end(&witness, 0);
        if (lie < 10000)
            close(lie);
    }
}

/* An object that says it is another file's is not taken, whatever key it was published under. */
static void an_object_of_another_file(void **state)
{
    const char *path = new_image("one.dll"), *other = new_image("other.dll");
    struct holder one = hold(path), two = hold(other), third;
    struct slot *table = map_table();
    struct slot *mine = NULL, *its = NULL;
    for (int i = 0; i < 4096; i++) {
        if (table[i].holder >> 32 == (uint64_t)one.pid)
            mine = &table[i];
        if (table[i].holder >> 32 == (uint64_t)two.pid)
            its = &table[i];
    }
    assert_non_null(mine);
    assert_non_null(its);
    mine->holder = its->holder;
    third = hold(path);
    assert_true(third.seen.inode != one.seen.inode && third.seen.inode != two.seen.inode);
    munmap(table, 65536);
    end(&one, 0);
    end(&two, 0);
    end(&third, 0);
}

/* Each process for itself, and no failure. */
static void without_a_runtime_directory(void **state)
{
    const char *path = new_image("alone.dll");
    tempdir_mkdir("open");
    tempdir_mkdir("open/peldr");
    assert_int_equal(chmod(tempdir_path("open/peldr"), 0755), 0);
    setenv("XDG_RUNTIME_DIR", tempdir_path("open"), 1);
    struct holder first = hold(path), second = hold(path);
    setenv("XDG_RUNTIME_DIR", tempdir, 1);
    assert_true(first.seen.inode != second.seen.inode);
    assert_string_equal(second.seen.data, "initial");
    end(&first, 0);
    end(&second, 0);
}

/* The objects of files that are not in the cache. */
static int set_up(void **state)
{
    setenv("PELDR_CACHE", "off", 1);
    return tempdir_create() == 0 && setenv("XDG_RUNTIME_DIR", tempdir, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

#define IMAGE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMAGE_TEST(all_processes_share_one_object),
        IMAGE_TEST(those_who_start_together_share),
        IMAGE_TEST(a_builder_that_is_killed),
        IMAGE_TEST(no_base_leaks),
        IMAGE_TEST(a_file_that_was_written_is_another_image),
        IMAGE_TEST(a_file_that_was_just_written),
        IMAGE_TEST(the_table_is_only_a_hint),
        IMAGE_TEST(an_object_of_another_file),
        IMAGE_TEST(without_a_runtime_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
