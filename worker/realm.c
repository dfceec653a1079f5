/*
 * realm - the folders that are this worker's own, and the fence around them
 *
 * Process: worker.   Before: spool.c opens.
 */
#include "realm.h"

#include <stdlib.h>

#include "panic.h"
#include "spool_dir.h"

/* Those that are not there yet are made, and durably: afterwards they could not
 * be, nor could the folder above be synced. What cannot be made is told by
 * whoever needs it. */
void
realm_enter(const struct heritage *h)
{
	const struct conf *conf = h->conf;
	const char *name = h->ds->name;
	char *own[] = { must_format("%s/spool/%s", conf->data_dir, name),
		must_format("%s/quarantine/%s", conf->data_dir, name),
		must_format("%s/%s", conf->archive_path, name) };
	struct confine_plan plan = { .kind = CONFINE_WORKER, .life = h->life };

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		(void)spool_dir_make(own[i]);
		plan.own[plan.own_count++] = own[i];
	}
	if (h->confine != NULL)
		confine_self(h->confine, &plan);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		free(own[i]);
}
