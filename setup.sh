# Sourced by run_all.sh and run_tests.sh: makes .venv if it is missing, and installs requirements.txt if it has changed.
# PYTHON names the interpreter for .venv (3.11 or newer; default python3.11, else python3.12, else python3).

choose_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python 3.11 or newer found; install it, or name it: PYTHON=/path/to/python3.11 bash $0" >&2
  return 1
}

install_requirements() {
  local wanted stamp=.venv/requirements.sha256
  wanted=$(sha256sum requirements.txt | cut -d' ' -f1)
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  local python
  python=$(choose_python)
  if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    "$python" -m venv .venv || { echo "error: $python cannot make a virtual environment; install its venv package" >&2; return 1; }
  fi
  echo "installing requirements.txt into .venv (takes a few minutes, only once)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt ||
    { echo "error: installing requirements.txt failed; see the lines above, then run the same command again" >&2; return 1; }
  echo "$wanted" >"$stamp"
}

install_requirements || exit 1
# LightGBM needs the system's OpenMP runtime, which a new machine may lack; scikit-learn's wheel contains one.
if ! .venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then
  mkdir -p .venv/openmp
  ln -sf "$(find "$PWD/.venv/lib" -path '*scikit_learn.libs/libgomp*' | head -n 1)" .venv/openmp/libgomp.so.1
  export LD_LIBRARY_PATH="$PWD/.venv/openmp${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
export PATH="$PWD/.venv/bin:$PATH"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD" NO_ALBUMENTATIONS_UPDATE=1
# By default glibc returns large buffers to the system after every use; keeping them saves a tenth of the training time.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592
