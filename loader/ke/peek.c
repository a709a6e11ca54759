/*
 * Reading memory that may not be there.
 */
#include <sys/uio.h>
#include <unistd.h>

#include "loader/ke/report.h"

size_t ke_peek(uintptr_t address, void *out, size_t size)
{
    enum { PAGE = 4096 };
    size_t done = 0;
    while (done < size) { /* a page at a time: up to the first that cannot be read */
        size_t part = PAGE - (address + done) % PAGE;
        if (part > size - done)
            part = size - done;
        struct iovec local = {(char *)out + done, part}, remote = {(void *)(address + done), part};
        ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}
