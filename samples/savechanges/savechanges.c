/*
 * savechanges: work on a private copy of a file, then save only what was changed.
 *
 * A view with FILE_MAP_COPY shows the file until a page of it is written; from then on that page is
 * the process's own, and the file never learns of it. To keep the work, map the file a second time
 * with FILE_MAP_WRITE and copy the changed pages over. Which ones these are need not be noted while
 * working: VirtualQuery knows. A page that is shared with the file yet is PAGE_WRITECOPY, a page
 * that was copied is PAGE_READWRITE.
 *
 * Look at: the rows of letters, one per page, w = PAGE_WRITECOPY, R = PAGE_READWRITE, and at what
 * the file holds before and after saving.
 */
#include "console.h"

enum { PAGES = 6 };

static char path[MAX_PATH];

/* A temporary file whose pages begin with their number. */
static HANDLE make_file(void)
{
    char directory[MAX_PATH], page[PAGE] = "";
    HANDLE file;
    DWORD done;
    check(GetTempPathA(sizeof directory, directory) != 0, "GetTempPath");
    check(GetTempFileNameA(directory, "sav", 0, path) != 0, "GetTempFileName");
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_ATTRIBUTE_TEMPORARY, NULL);
    check(file != INVALID_HANDLE_VALUE, "CreateFile");
    for (int i = 0; i < PAGES; i++) {
        snprintf(page, sizeof page, "old%d", i);
        check(WriteFile(file, page, PAGE, &done, NULL) && done == PAGE, "WriteFile");
    }
    return file;
}

/* What ReadFile, which knows nothing of views, finds in the file. */
static void show_file(HANDLE file, const char *when)
{
    char line[100] = "", page[PAGE];
    DWORD done;
    check(SetFilePointer(file, 0, NULL, FILE_BEGIN) == 0, "SetFilePointer");
    for (int i = 0; i < PAGES; i++) {
        check(ReadFile(file, page, PAGE, &done, NULL) && done == PAGE, "ReadFile");
        strcat(strcat(line, " "), page);
    }
    say("the file %s:%s", when, line);
}

static DWORD protection(const char *page)
{
    MEMORY_BASIC_INFORMATION info;
    check(VirtualQuery(page, &info, sizeof info) == sizeof info, "VirtualQuery");
    return info.Protect;
}

static void show_copy(const char *copy, const char *when)
{
    char row[PAGES + 1] = "";
    for (int i = 0; i < PAGES; i++) {
        DWORD protect = protection(copy + i * PAGE);
        row[i] = protect == PAGE_WRITECOPY ? 'w' : protect == PAGE_READWRITE ? 'R' : '?';
    }
    say("the copy %s: %s", when, row);
}

static int save(const char *copy, HANDLE section)
{
    int saved = 0;
    char *file = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    check(file != NULL, "MapViewOfFile to write");
    for (int i = 0; i < PAGES; i++)
        if (protection(copy + i * PAGE) == PAGE_READWRITE) {
            memcpy(file + i * PAGE, copy + i * PAGE, PAGE);
            saved++;
        }
    check(FlushViewOfFile(file, 0), "FlushViewOfFile");
    UnmapViewOfFile(file);
    return saved;
}

int main(void)
{
    HANDLE file = make_file();
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    char *copy;
    check(section != NULL, "CreateFileMapping");
    copy = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, 0);
    check(copy != NULL, "MapViewOfFile to copy");
    show_copy(copy, "at first");

    memcpy(copy + PAGE, "new1", 4);
    memcpy(copy + 4 * PAGE, "new4", 4);
    show_copy(copy, "with two pages changed");
    show_file(file, "before saving");

    say("%d pages saved", save(copy, section));
    show_file(file, "after saving");

    UnmapViewOfFile(copy);
    CloseHandle(section);
    CloseHandle(file);
    check(DeleteFileA(path), "DeleteFile");
    return 0;
}
