/*
 * handles: objects without a name, shared by giving their handles away.
 *
 * A handle is a number that means something in one process only. It comes into another one in two
 * ways: the child of a process inherits all handles that are marked inheritable, with the same
 * numbers; and DuplicateHandle puts a handle to the same object into the table of a process that
 * the caller may open, under a number of its own. Both processes then hold the object.
 *
 * The program starts itself as the child and tells it the numbers on the command line, and later in
 * the shared memory. Look at: the file position, which belongs to the object and so moves in both
 * processes; the duplicate that can do less than its source; and the handle that the child moves
 * (DUPLICATE_CLOSE_SOURCE) into its parent.
 */
#include "console.h"

/* In the inherited section object. Handles fit into 32 bits in either word size. */
struct letter {
    char greeting[40];
    DWORD section, event, file; /* put into the child by its parent */
    DWORD returned;             /* put into the parent by its child */
};

static DWORD number(HANDLE handle)
{
    return (DWORD)(ULONG_PTR)handle;
}

static HANDLE handle(DWORD number)
{
    return (HANDLE)(ULONG_PTR)number;
}

static void write_text(HANDLE file, const char *text)
{
    DWORD done;
    check(WriteFile(file, text, (DWORD)strlen(text), &done, NULL), "WriteFile");
}

static DWORD position(HANDLE file)
{
    return SetFilePointer(file, 0, NULL, FILE_CURRENT);
}

static void *map(HANDLE section, DWORD access)
{
    void *view = MapViewOfFile(section, access, 0, 0, 0);
    check(view != NULL, "MapViewOfFile");
    return view;
}

/* An unnamed section object of one page that begins with `text`. */
static HANDLE make_section(SECURITY_ATTRIBUTES *inheritable, const char *text)
{
    HANDLE section =
        CreateFileMappingA(INVALID_HANDLE_VALUE, inheritable, PAGE_READWRITE, 0, PAGE, NULL);
    char *view;
    check(section != NULL, "CreateFileMapping");
    view = map(section, FILE_MAP_WRITE);
    strcpy(view, text);
    UnmapViewOfFile(view);
    return section;
}

static HANDLE make_event(SECURITY_ATTRIBUTES *inheritable)
{
    HANDLE event = CreateEventA(inheritable, FALSE, FALSE, NULL);
    check(event != NULL, "CreateEvent");
    return event;
}

static HANDLE make_file(SECURITY_ATTRIBUTES *inheritable)
{
    char directory[MAX_PATH], path[MAX_PATH];
    HANDLE file;
    check(GetTempPathA(sizeof directory, directory) != 0, "GetTempPath");
    check(GetTempFileNameA(directory, "han", 0, path) != 0, "GetTempFileName");
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, inheritable, CREATE_ALWAYS,
                       FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    check(file != INVALID_HANDLE_VALUE, "CreateFile");
    return file;
}

static DWORD give(HANDLE process, HANDLE source, DWORD access, DWORD options)
{
    HANDLE there;
    check(DuplicateHandle(GetCurrentProcess(), source, process, &there, access, FALSE, options),
          "DuplicateHandle");
    return number(there);
}

/* ---- the parent --------------------------------------------------------------------------------
 */

static void talk_by_inheritance(HANDLE to_parent, HANDLE file)
{
    await(to_parent, "waiting for the child to have written");
    say("parent: the child has written; the file position is %lu", (unsigned long)position(file));
}

static void talk_by_duplication(HANDLE child, HANDLE section, HANDLE to_child,
                                struct letter *letter)
{
    HANDLE done = make_event(NULL), file = make_file(NULL);
    char text[40] = "";
    DWORD size;
    letter->section = give(child, section, FILE_MAP_READ, 0);
    letter->event = give(child, done, 0, DUPLICATE_SAME_ACCESS);
    letter->file = give(child, file, 0, DUPLICATE_SAME_ACCESS);
    say("parent: three handles duplicated into the child");
    SetEvent(to_child);
    await(done, "waiting for the child to have used them");
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    check(ReadFile(file, text, sizeof text - 1, &size, NULL), "ReadFile");
    say("parent: the other file holds \"%s\"", text);
    CloseHandle(file);
    CloseHandle(done);
    SetEvent(to_child);
}

static int parent(void)
{
    SECURITY_ATTRIBUTES inheritable = {sizeof inheritable, NULL, TRUE};
    HANDLE shared = make_section(&inheritable, "greetings from the parent");
    HANDLE secret = make_section(NULL, "what was kept back");
    HANDLE file = make_file(&inheritable);
    HANDLE to_parent = make_event(&inheritable), to_child = make_event(&inheritable);
    struct letter *letter = map(shared, FILE_MAP_WRITE);
    PROCESS_INFORMATION child;
    char arguments[200], *returned;
    write_text(file, "parent,");
    snprintf(arguments, sizeof arguments, "child %lu %lu %lu %lu %lu %lu",
             (unsigned long)number(shared), (unsigned long)number(secret),
             (unsigned long)number(file), (unsigned long)number(to_parent),
             (unsigned long)number(to_child), (unsigned long)GetCurrentProcessId());
    start_again(arguments, &child);
    talk_by_inheritance(to_parent, file);
    talk_by_duplication(child.hProcess, secret, to_child, letter);
    await(to_parent, "waiting for the child to return one");
    returned = map(handle(letter->returned), FILE_MAP_READ);
    say("parent: the returned section holds \"%s\"", returned);
    SetEvent(to_child);
    say("parent: the child ends with %lu", (unsigned long)wait_for_end(&child));
    say("parent: the returned section still holds \"%s\"", returned);
    return 0;
}

/* ---- the child ---------------------------------------------------------------------------------
 */

static void use_inherited(HANDLE shared, HANDLE secret, HANDLE file, struct letter **letter)
{
    DWORD flags = 0;
    *letter = map(shared, FILE_MAP_WRITE);
    GetHandleInformation(shared, &flags);
    say("child:  \"%s\" through an inherited handle%s", (*letter)->greeting,
        flags & HANDLE_FLAG_INHERIT ? ", inheritable itself" : "");
    if (!MapViewOfFile(secret, FILE_MAP_READ, 0, 0, 0))
        say("child:  the handle that was not inheritable: error %lu",
            (unsigned long)GetLastError());
    say("child:  the file position is %lu", (unsigned long)position(file));
    write_text(file, "child,");
}

static void use_duplicated(const struct letter *letter)
{
    HANDLE secret = handle(letter->section);
    char *view = map(secret, FILE_MAP_READ);
    say("child:  \"%s\" through a duplicated handle", view);
    if (!MapViewOfFile(secret, FILE_MAP_WRITE, 0, 0, 0))
        say("child:  it was duplicated for reading only: error %lu", (unsigned long)GetLastError());
    UnmapViewOfFile(view);
    write_text(handle(letter->file), "by the child");
    SetEvent(handle(letter->event));
}

static void return_one(DWORD parent_id, struct letter *letter)
{
    HANDLE section = make_section(NULL, "made by the child");
    HANDLE parent = OpenProcess(PROCESS_DUP_HANDLE, FALSE, parent_id);
    check(parent != NULL, "OpenProcess");
    letter->returned = give(parent, section, 0, DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE);
    if (!CloseHandle(section))
        say("child:  the handle moved to the parent; closing it here: error %lu",
            (unsigned long)GetLastError());
    CloseHandle(parent);
}

static int child(char **numbers)
{
    HANDLE to_parent = handle(strtoul(numbers[3], NULL, 10));
    HANDLE to_child = handle(strtoul(numbers[4], NULL, 10));
    struct letter *letter;
    use_inherited(handle(strtoul(numbers[0], NULL, 10)), handle(strtoul(numbers[1], NULL, 10)),
                  handle(strtoul(numbers[2], NULL, 10)), &letter);
    SetEvent(to_parent);
    await(to_child, "waiting for the duplicated handles");
    use_duplicated(letter);
    await(to_child, "waiting for the parent to have read");
    return_one(strtoul(numbers[5], NULL, 10), letter);
    SetEvent(to_parent);
    await(to_child, "waiting for the parent to have looked");
    return 7;
}

int main(int argc, char **argv)
{
    return argc == 8 && has_role(argc, argv, "child") ? child(argv + 2) : parent();
}
