/*
 * footprint - gives back the memory that only starting up needed
 *
 * Process: supervisor. It lives for months and does next to nothing.
 */
#include "footprint.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base.h"

static int
trim_object(struct dl_phdr_info *info, size_t size UNUSED, void *page_size)
{
	uintptr_t page = *(const uintptr_t *)page_size;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + p->p_vaddr;
		uintptr_t to = (from + p->p_memsz) & ~(page - 1);

		/* what has been written to is nowhere else */
		if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0)
			continue;
		from = (from + page - 1) & ~(page - 1);
		if (to > from)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void
footprint_trim(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	dl_iterate_phdr(trim_object, &page);
	malloc_trim(0);
}
