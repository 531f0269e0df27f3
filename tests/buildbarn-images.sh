# tests/buildbarn-images.sh: sourced by the tests that bring up Buildbarn with Docker.
#
# Callers set `programs`, a directory with Buildbarn's programs, or leave it empty. `find_compose` sets `compose`, the command of
# Docker Compose; `make_images` makes images of the programs and of busybox, under the names that a compose file asks for, so
# that nothing is fetched for them.

find_compose() {
  docker version >/dev/null 2>&1 || return 0
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  fi
}

tag_in() { # tag_in COMPOSE_FILE NAME: the image of that name, as the file has it
  sed -n "s|^ *image: *\(\(.*/\)\{0,1\}$2:.*\)|\1|p" "$1" | head -n 1
}

make_image() { # make_image TAG DIR, where a Dockerfile is
  DOCKER_BUILDKIT=0 docker build --quiet --tag "$1" "$2" >"$2.log" 2>&1 || { cat "$2.log" >&2; return 1; }
}

make_busybox() { # make_busybox TAG DIR: nothing but busybox, by the names of the few things that scripts here use
  local name
  mkdir -p "$2"
  cp "$(command -v busybox)" "$2/busybox"
  {
    echo "FROM scratch"
    for name in busybox sh sleep test touch cp rm mkdir chmod; do echo "COPY busybox /bin/$name"; done
  } >"$2/Dockerfile"
  make_image "$1" "$2"
}

make_images() { # make_images COMPOSE_FILE DIR: the directory is for the files of the images
  local name dir
  for name in storage scheduler worker; do
    dir=$2/image-$name
    mkdir -p "$dir"
    cp "$programs/bb_$name" "$dir/"
    printf 'FROM scratch\nCOPY bb_%s /\nENTRYPOINT ["/bb_%s"]\n' $name $name >"$dir/Dockerfile"
    make_image "$(tag_in "$1" "bb-$name")" "$dir"
  done
  name=$(tag_in "$1" busybox)
  make_busybox "${name:-relto-test/busybox}" "$2/image-busybox"
  dir=$2/image-installer
  mkdir -p "$dir"
  cp "$programs/bb_runner" "$dir/"
  printf 'FROM %s\nCOPY bb_runner /\nENTRYPOINT ["/bin/sh", "-c", "cp -f /bb_runner /bb/ && touch /bb/installed"]\n' \
    "${name:-relto-test/busybox}" >"$dir/Dockerfile"
  make_image "$(tag_in "$1" bb-runner-installer)" "$dir"
}
