"""Starlette on uvicorn with httptools and uvloop, for comparison.

``python with_starlette.py PORT``, in a folder with ``hello.html`` and ``public/small.txt``.
"""

import sys

import uvicorn
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

pages = Environment(loader=FileSystemLoader("."), autoescape=True)


async def view(request: Request) -> Response:
    return HTMLResponse(pages.get_template("hello.html").render(params=request.path_params, request=request))


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.path_params["name"]})


async def post(request: Request) -> Response:
    return JSONResponse({"got": (await request.json())["value"]})


if __name__ == "__main__":
    app = Starlette(
        routes=[
            Route("/view/{name}", view),
            Route("/do/{name}", hello),
            Route("/handler/{name}", hello),
            Route("/post", post, methods=["POST"]),
            Mount("/public", StaticFiles(directory="public")),
        ]
    )
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
