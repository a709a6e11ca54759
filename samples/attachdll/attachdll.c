/*
 * attachdll.dll: memory that comes with a DLL. Every process that loads it has the same section
 * object mapped before any of its own code runs.
 *
 * At each process attach the DLL opens its section object. The one that creates it fills it; a
 * mutex makes the others wait until that is done. Names and first content are resources, so that
 * they can be changed without a compiler: a string table for the names, raw data for the content.
 *
 * Look at: DllMain runs under the loader's lock. What it does here needs no other thread of this
 * process; waiting for one that loads or ends would never return.
 */
#define ATTACHDLL_BUILD
#include "attachdll.h"

#include <string.h>

static HANDLE section, mutex;
static struct attach_shared *shared;
static BOOL created;

ATTACHDLL_API struct attach_shared *attach_view(BOOL *was_created)
{
    *was_created = created;
    return shared;
}

/* The content resource as it lies in the image: nothing is copied until here. */
static BOOL fill(HINSTANCE self)
{
    HRSRC place = FindResourceA(self, MAKEINTRESOURCEA(ID_CONTENT), (LPCSTR)RT_RCDATA);
    HGLOBAL loaded = place ? LoadResource(self, place) : NULL;
    const void *content = loaded ? LockResource(loaded) : NULL;
    DWORD size = place ? SizeofResource(self, place) : 0;
    if (!content || size > sizeof shared->text)
        return FALSE;
    memcpy(shared->text, content, size);
    return TRUE;
}

/* With the mutex held. */
static BOOL open_section(HINSTANCE self)
{
    char name[100];
    if (!LoadStringA(self, IDS_SECTION, name, sizeof name))
        return FALSE;
    section =
        CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, sizeof *shared, name);
    created = section && GetLastError() != ERROR_ALREADY_EXISTS;
    shared = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (!shared || (created && !fill(self)))
        return FALSE;
    InterlockedIncrement(&shared->attached);
    return TRUE;
}

static void release(void)
{
    if (shared)
        UnmapViewOfFile(shared);
    if (section)
        CloseHandle(section);
    if (mutex)
        CloseHandle(mutex);
}

/* FALSE lets the load fail: a program shall not run without the memory that it counts on. */
static BOOL attach(HINSTANCE self)
{
    BOOL done = FALSE;
    char name[100];
    if (LoadStringA(self, IDS_MUTEX, name, sizeof name))
        mutex = CreateMutexA(NULL, FALSE, name);
    /* An abandoned mutex is a mutex: its owner died, and the section object perhaps with it. */
    if (mutex && WaitForSingleObject(mutex, 10000) != WAIT_TIMEOUT) {
        done = open_section(self);
        ReleaseMutex(mutex);
    }
    if (!done)
        release();
    return done;
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH) {
        DisableThreadLibraryCalls(self);
        return attach(self);
    }
    if (reason == DLL_PROCESS_DETACH && shared) {
        InterlockedDecrement(&shared->attached);
        release();
    }
    return TRUE;
}
