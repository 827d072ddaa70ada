# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 2, 4, 5): a job under load lives through whatever BLKFERRY_SEED
# draws, for SOAK_SECONDS: deaths of either side at fault points and anywhere
# else, receivers that hang, records and trackers that are lost, targets that are
# spoiled. After each round both disks are equal; every third ends in a cutover,
# whose target is the source at the freeze. What a round did is printed, so that
# one that fails can be played again.
# VM: disks=virtio:32M+virtio:32M mem=784 in=soak limit=400 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+fio+wipefs+fsfreeze+losetup+mountpoint+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash
# shellcheck source=/dev/null
. /t/settings
# shellcheck source=tests/vm/lives.bash
. /t/tests/vm/lives.bash

EVENTS=4		# in a round

lives() { kill -0 "$(cat "$1")" 2>/dev/null; }

# A process that ends meanwhile by a fault is as dead as one that is killed.
end() {
	whatever kill -"$2" "$(cat "$1")" 2>/dev/null
	whatever wait "$(cat "$1")" 2>/dev/null
}

job_up() { lives "$job_dir/move.pid" || start_job; }

receiver_up() { lives "$job_dir/receiver.pid" || start_receiver; }

# Up to two seconds with nothing but the load.
pause() {
	local idle
	exec {idle}<> <(:)
	read -r -t "$((RANDOM % 2)).$((RANDOM % 10))" -u "$idle" _ || :
	exec {idle}>&-
}

# A replicator that dies at a point, if it gets there the time that is asked for.
faulty_job() {
	BLKFERRY_FAULT=$1 blkferry-faulty run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" >"$job_dir/move.out" 2>"$job_dir/move.log" &
	echo $! >"$job_dir/move.pid"
}

event() {
	local point
	case $1 in
	0) end "$job_dir/move.pid" KILL ;;
	1) end "$job_dir/move.pid" TERM ;;
	2) end "$job_dir/receiver.pid" KILL ;;
	3)
		point=${source_points[RANDOM % ${#source_points[@]}]}:$((1 + RANDOM % 3))
		end "$job_dir/move.pid" KILL
		receiver_up
		faulty_job "$point"
		;;
	4)
		point=${target_points[RANDOM % ${#target_points[@]}]}:$((1 + RANDOM % 3))
		end "$job_dir/receiver.pid" KILL
		start_receiver "$point"
		;;
	5)
		whatever kill -STOP "$(cat "$job_dir/receiver.pid")"
		pause
		whatever kill -CONT "$(cat "$job_dir/receiver.pid")"
		;;
	6)
		end "$job_dir/move.pid" KILL
		rm -rf "$job_dir/source"
		;;
	7)
		end "$job_dir/move.pid" KILL
		whatever blkferry untrack move:disk
		;;
	8)
		end "$job_dir/move.pid" KILL
		end "$job_dir/receiver.pid" KILL
		rm -rf "$job_dir/records"
		dd if=/dev/urandom of="$d1" bs=1M count=2 seek=$((RANDOM % 10)) oflag=direct conv=notrunc 2>/dev/null
		;;
	9) put_some ;;
	esac
	echo "event $1 ${point:-}"
}

NR_EVENTS=10

# Everything runs unharmed again.
heal() {
	end "$job_dir/move.pid" TERM
	end "$job_dir/receiver.pid" TERM
	start_receiver
	start_job
	wait_ready
}

moves_over() {
	cut_over --then hold
	same_disks
	whatever wait "$(job_pid)"
	whatever blkferry thaw move
	end "$job_dir/receiver.pid" TERM
	blkferry receive --config "$job_dir/receiver.conf" --reopen disk
}

# round NUMBER: its draws follow from the seed and the number alone.
round() {
	RANDOM=$((seed * 1000 + $1))
	world
	start_job
	for ((i = 0; i < EVENTS; i++)); do
		pause
		receiver_up
		job_up
		event $((RANDOM % NR_EVENTS))
	done
	heal
	stop_writer
	blkferry sync move
	same_disks
	[ $(($1 % 3)) -ne 0 ] || moves_over
}

for ((number = 1; SECONDS < ${SOAK_SECONDS:-60} || number <= 1; number++)); do
	run_case "seed $seed, round $number" round "$number"
	[ "$case_failures" -eq 0 ] || break
done
