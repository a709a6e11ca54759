/*
 * mapwalk [FILE]: a walk through the program's own address space, before and after each step in the
 * life of a view.
 *
 * Three kinds of section objects are created, mapped, used, flushed and freed: of a temporary file,
 * of an existing file (FILE, or else this program itself), and of the paging file. After each step
 * VirtualQuery is asked about one region after the other, from the lowest address to the highest.
 *
 * Look at: the rows of the view, which are marked. An unmapped view leaves a free region behind.
 * The summary counts private memory, views of data ("mapped") and views of images apart; only the
 * second changes by the size of the view. Creating a section object changes nothing: it takes no
 * addresses before it is mapped.
 */
#include "console.h"

struct word {
    DWORD value;
    const char *text;
};

static const struct word states[] = {
    {MEM_COMMIT, "commit"}, {MEM_RESERVE, "reserve"}, {MEM_FREE, "free"}, {0, "?"}};
static const struct word types[] = {
    {MEM_PRIVATE, "private"}, {MEM_MAPPED, "mapped"}, {MEM_IMAGE, "image"}, {0, "-"}};
static const struct word protections[] = {
    {PAGE_NOACCESS, "no access"},
    {PAGE_READONLY, "read"},
    {PAGE_READWRITE, "read write"},
    {PAGE_WRITECOPY, "write copy"},
    {PAGE_EXECUTE, "execute"},
    {PAGE_EXECUTE_READ, "execute read"},
    {PAGE_EXECUTE_READWRITE, "execute read write"},
    {PAGE_EXECUTE_WRITECOPY, "execute write copy"},
    {0, "-"},
};

static const char *word_of(const struct word *words, DWORD value)
{
    while (words->value && words->value != value)
        words++;
    return words->text;
}

struct summary {
    ULONGLONG free, private, mapped, image; /* KiB */
};

static void count(struct summary *sum, const MEMORY_BASIC_INFORMATION *region)
{
    ULONGLONG size = region->RegionSize / 1024;
    if (region->State == MEM_FREE)
        sum->free += size;
    else if (region->Type == MEM_MAPPED)
        sum->mapped += size;
    else if (region->Type == MEM_IMAGE)
        sum->image += size;
    else
        sum->private += size;
}

static void show_region(const MEMORY_BASIC_INFORMATION *region, const void *view)
{
    BOOL is_view = view && region->State != MEM_FREE && region->AllocationBase == view;
    DWORD protect = region->State == MEM_COMMIT ? region->Protect & 0xFF : 0;
    say("%s 0x%012llx %12llu KiB  %-7s  %-7s  %s%s", is_view ? "view  " : "region",
        (ULONGLONG)(ULONG_PTR)region->BaseAddress, (ULONGLONG)region->RegionSize / 1024,
        word_of(states, region->State),
        region->State == MEM_FREE ? "-" : word_of(types, region->Type),
        word_of(protections, protect), region->Protect & PAGE_GUARD ? ", guard" : "");
}

/* The whole address space. The step's name is printed above it, the sums below. */
static void walk(const char *step, const void *view)
{
    MEMORY_BASIC_INFORMATION region;
    struct summary sum = {0};
    char *address = NULL;
    say("-- %s", step);
    while (VirtualQuery(address, &region, sizeof region) == sizeof region) {
        show_region(&region, view);
        count(&sum, &region);
        address = (char *)region.BaseAddress + region.RegionSize;
        if (!address)
            break; /* the end of all addresses */
    }
    say("sum: free %llu KiB, private %llu KiB, mapped %llu KiB, image %llu KiB", sum.free,
        sum.private, sum.mapped, sum.image);
}

/* Maps the section object and goes through the life of the view; both are gone afterwards. */
static void use(HANDLE section, BOOL writable)
{
    char *view;
    check(section != NULL, "CreateFileMapping");
    walk("created", NULL);
    view = MapViewOfFile(section, writable ? FILE_MAP_WRITE : FILE_MAP_READ, 0, 0, 0);
    check(view != NULL, "MapViewOfFile");
    walk("mapped", view);
    if (writable)
        memcpy(view, "written", 8);
    say("the view begins with \"%.*s\"", writable ? 7 : 2, view);
    check(FlushViewOfFile(view, 0), "FlushViewOfFile");
    walk(writable ? "written and flushed" : "read and flushed", view);
    check(UnmapViewOfFile(view), "UnmapViewOfFile");
    walk("unmapped", view);
    check(CloseHandle(section), "CloseHandle");
    walk("closed", view);
}

static void temporary_file(void)
{
    char directory[MAX_PATH], path[MAX_PATH];
    HANDLE file;
    say("== a temporary file, 20 KiB");
    check(GetTempPathA(sizeof directory, directory) != 0, "GetTempPath");
    check(GetTempFileNameA(directory, "map", 0, path) != 0, "GetTempFileName");
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    check(file != INVALID_HANDLE_VALUE, "CreateFile");
    use(CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 20 * 1024, NULL), TRUE);
    CloseHandle(file);
}

static void existing_file(const char *path)
{
    char program[MAX_PATH];
    HANDLE file;
    say("== an existing file, read only");
    if (!path) {
        check(GetModuleFileNameA(NULL, program, sizeof program) != 0, "GetModuleFileName");
        path = program;
    }
    file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL, NULL);
    check(file != INVALID_HANDLE_VALUE, "CreateFile");
    use(CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL), FALSE);
    CloseHandle(file);
}

static void paging_file(void)
{
    say("== the paging file, 100 KiB");
    use(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 100 * 1024, NULL), TRUE);
}

int main(int argc, char **argv)
{
    Sleep(20); /* what the system adds in a process's first milliseconds is not to count */
    walk("at first", NULL);
    temporary_file();
    existing_file(argc > 1 ? argv[1] : NULL);
    paging_file();
    return 0;
}
